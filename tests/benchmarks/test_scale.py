import sys

import cv2
import pytest
from tool_module import load_tool

from uscl.data.frame_store import damaged_videos
from uscl.data.video_folder import VideoFolder

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='needs /proc')


@pytest.fixture(scope='module')
def tool():
    return load_tool('tools/benchmarks/scale.py')


def test_made_up_videos_are_whole_and_grow_in_a_straight_line(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, 'SHAPE', (4, 48, 64))
    monkeypatch.setattr(tool, 'PICTURES', 3)
    monkeypatch.setattr(tool, 'BATCH', 8)
    results = {}
    for count in (30, 300):
        (tmp_path / str(count)).mkdir()
        results[count] = tool.measure(tmp_path / str(count), count, workers=1, verified=10, compared=10)
        assert len(VideoFolder(tmp_path / str(count))) == count and damaged_videos(tmp_path / str(count)) == {}
    few, many = results.values()
    assert set(few) == set(tool.ROWS) and min(few.values()) > 0
    for name in ('annotation', 'index', 'in a checkpoint'):
        assert 9 < many[name] / few[name] < 11
    assert abs(many['a worker, own'] - few['a worker, own']) < 10
    tool.draw(results, str(tmp_path / 'scale.png'))
    assert cv2.imread(str(tmp_path / 'scale.png')).shape[1] > 600
    assert (tmp_path / 'scale.png').stat().st_size < 70_000
