import shutil

import pytest
from tool_module import load_tool

from uscl.data.frame_store import read_index


@pytest.fixture(scope='module')
def verify(root):
    """The tool's main function."""
    return load_tool('tools/dataset_converters/verify_store.py').main


def test_damaged_videos_are_named(verify, clusters, tmp_path, capsys):
    folder = shutil.copytree(clusters, tmp_path / 'data')
    assert verify([str(clusters), str(folder)]) == 0
    assert capsys.readouterr().out.count(': all 7 videos are intact.') == 2
    index = read_index(folder)
    (name,) = index.shards
    content = bytearray((folder / 'store' / name).read_bytes())
    for video_id in ('a/v2', 'b/one'):
        content[index.videos[video_id].offset] ^= 128
    (folder / 'store' / name).write_bytes(content)
    assert verify([str(clusters), str(folder)]) == 1
    out, err = capsys.readouterr()
    assert [line.split(': ')[:2] for line in out.splitlines()[1:]] == [['damaged', 'a/v2'], ['damaged', 'b/one']]
    assert err.startswith(f'error: {folder}: 2 of 7 videos are damaged: ')


def test_a_folder_without_store_is_one_line(verify, clusters, tmp_path, capsys):
    shutil.copy(clusters / 'annotations.json', tmp_path)
    assert verify([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert 'index.json does not exist' in error and error.count('\n') == 1
