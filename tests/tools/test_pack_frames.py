import shutil

import pytest
from tool_module import load_tool

from uscl.data.frame_store import read_index


@pytest.fixture(scope='module')
def pack(root):
    """The tool's main function."""
    return load_tool('tools/dataset_converters/pack_frames.py').main


def test_packing_and_checking(pack, clusters, tmp_path, capsys):
    folder = shutil.copytree(clusters, tmp_path / 'data')
    assert pack([str(folder), '--verify']) == 1
    assert f'{folder} has no frame store: run this tool without --verify' in capsys.readouterr().err
    assert pack([str(folder)]) == 0
    assert pack([str(folder), '--verify']) == 0
    assert capsys.readouterr().out.count(f'Frame store of 7 clips (89 kB) in {folder / "store"}.') == 2

    index = read_index(folder)
    shard = folder / 'store' / index.shards[0][0]
    content = bytearray(shard.read_bytes())
    for video_id in ('a/v2', 'b/one'):
        content[index.videos[video_id].offset] ^= 128
    shard.write_bytes(content)
    assert pack([str(folder), '--verify']) == 1
    out, err = capsys.readouterr()
    assert [line.split(': ')[:2] for line in out.splitlines()] == [['damaged', 'a/v2'], ['damaged', 'b/one']]
    assert err.startswith(f'error: {folder}: 2 of 7 videos are damaged: copy the store again, or, ')
    shutil.rmtree(folder / 'store')  # the remedy
    assert pack([str(folder)]) == pack([str(folder), '--verify']) == 0
