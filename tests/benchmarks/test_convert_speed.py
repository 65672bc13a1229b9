import json
import sys

import pytest
from media_clips import write_clip
from tool_module import load_tool

# Takes FFmpeg's arguments, and writes two black frames of 16 x 16 for each clip in its list.
STUB = """#!{python}
import sys
clips = open(sys.argv[sys.argv.index('-i') + 1]).read().count('file ')
open(sys.argv[-1], 'wb').write(bytes(2 * 16 * 16 * clips))
"""


@pytest.fixture(scope='module')
def tool():
    return load_tool('tools/benchmarks/convert_speed.py')


@pytest.fixture
def clips(tmp_path):
    (tmp_path / 'clips').mkdir()
    for name in ("it's", 'b', 'c'):
        write_clip(tmp_path / 'clips' / f'{name}.mp4')
    return tmp_path / 'clips'


def stub(path, text=STUB):
    path.write_text(text.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(sys.platform == 'win32', reason='needs a script as a program')
def test_all_ways_convert_all_clips(tool, clips, tmp_path, capsys):
    command = [str(clips), '--ffmpeg', stub(tmp_path / 'ffmpeg'), '--workers', '2', '--size', '16', '--rounds', '2']
    assert tool.main([*command, '--json', str(tmp_path / 'a.json')]) == 0
    found = json.loads((tmp_path / 'a.json').read_text())
    assert found['clips'] == 3 and found['frames'].pop(tool.OURS) >= 3
    assert found['frames'] == {'a command a clip': 6, 'a command a core': 6, 'one command': 6}
    assert all(len(rounds) == 2 and min(min(r) for r in rounds) > 0 for rounds in found['seconds'].values())
    assert '3 clips, 2 processes' in capsys.readouterr().out


def test_a_command_that_is_missing_or_fails_is_named(tool, clips, tmp_path, capsys):
    assert tool.main([str(clips), '--ffmpeg', str(tmp_path / 'nowhere'), '--workers', '1']) != 0
    assert 'nowhere' in capsys.readouterr().err
    failing = stub(tmp_path / 'failing', '#!/bin/sh\necho no such codec >&2\nexit 1\n')
    assert tool.main([str(clips), '--ffmpeg', failing, '--workers', '1']) != 0
    assert 'no such codec' in capsys.readouterr().err
    (tmp_path / 'empty').mkdir()
    assert tool.main([str(tmp_path / 'empty')]) != 0
    assert 'empty' in capsys.readouterr().err
