"""Two processes, each with its own copy of the data, of which one is damaged: both drop what either has found."""

import gc
import shutil
import socket
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed as dist
from torch.utils.data import DataLoader

from uscl.data.annotations import read_annotations
from uscl.data.frame_packing import pack_frames
from uscl_plugin.datasets import agreement
from uscl_plugin.datasets.video_clusters import VideoClusterDataset
from uscl_plugin.datasets.video_frames import VideoFrameDataset

pytestmark = pytest.mark.slow  # two processes
ALLOWED = 0.2  # of 18 videos: three


def build(kind, folder, **options):
    """Ids of the videos, and reasons; or the error."""
    try:
        dataset = kind(str(folder), **options)
    except (ValueError, RuntimeError, FileNotFoundError) as error:
        return type(error).__name__, str(error)
    return [dataset.get_data_info(i)['video_id'] for i in range(len(dataset))], dataset.bad_videos


def _worker(rank, port, folder, results):
    torch.set_num_threads(1)
    gc.freeze()  # each data set collects garbage, which takes seconds among the modules of the hosts
    warnings.simplefilter('ignore')
    dist.init_process_group(
        'gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    folder = Path(folder) / str(rank)
    found = {}
    if rank == 0:
        found['local'] = build(VideoClusterDataset, folder, max_bad=ALLOWED, verify='local')
    found['clusters'] = build(VideoClusterDataset, folder, max_bad=ALLOWED)
    found['frames'] = build(VideoFrameDataset, folder, max_bad=ALLOWED, frames_per_video=1)
    found['again'] = build(VideoClusterDataset, folder, max_bad=ALLOWED)
    found['too many'] = build(VideoClusterDataset, folder, max_bad=0.1)  # one bad video each, two together
    lazy = VideoClusterDataset(str(folder), max_bad=ALLOWED, lazy_init=True)
    if rank == 0:  # nobody waits within a worker, of which the other process has none
        loader = DataLoader(lazy, batch_size=None, num_workers=1, sampler=range(3), multiprocessing_context='fork')
        found['worker'] = [item['video_id'] for item in loader]
    if rank == 0:
        agreement.PATIENCE, agreement.TIMEOUT = timedelta(seconds=0.1), timedelta(seconds=0.3)
        found['alone'] = build(VideoClusterDataset, folder, max_bad=ALLOWED)
    dist.barrier()
    results[rank] = found
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def two_processes(patients, tmp_path_factory):
    """What each of two ranks found by case. Rank 0 has a store with a flipped byte, rank 1 an empty image file."""
    folder = tmp_path_factory.mktemp('copies')
    for rank in range(2):
        shutil.copytree(patients, folder / str(rank))
    entries = read_annotations(folder / '0/annotations.json')['data_list']
    index = pack_frames(folder / '0', entries)
    shard = folder / '0/store' / index.shards[0][0]
    content = bytearray(shard.read_bytes())
    content[index.videos['c/v5'].offset] ^= 1
    shard.write_bytes(content)
    (folder / '1/frames/a__v3/000002.png').write_bytes(b'')
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]
    with mp.Manager() as manager:
        results = manager.dict()
        mp.start_processes(_worker, (port, str(folder), results), nprocs=2, start_method='forkserver')
        return [results[rank] for rank in range(2)]


@pytest.mark.parametrize('case', ['clusters', 'frames', 'again'])
def test_both_drop_what_either_has_found(two_processes, patients, case):
    whole = [entry['video_id'] for entry in read_annotations(patients / 'annotations.json')['data_list']]
    for videos, bad in (found[case] for found in two_processes):
        assert videos == [name for name in whole if name not in ('a/v3', 'c/v5')]
        assert list(bad) == ['c/v5', 'a/v3']
        assert 'does not hold what was written' in bad['c/v5'] and bad['c/v5'].endswith('(process 0)')
        assert bad['a/v3'].endswith('/1/frames/a__v3/000002.png is empty (process 1)')


def test_both_stop_where_both_together_have_too_many(two_processes):
    for kind, message in (found['too many'] for found in two_processes):
        assert kind == 'ValueError' and message.startswith('2 of 18 videos of ')


def test_one_alone_is_told_so_and_waits_for_nobody_if_it_says_so(two_processes):
    kind, message = two_processes[0]['alone']
    assert kind == 'RuntimeError' and 'process 0 has verified its videos and waits for process 1: all must' in message
    assert 'set verify="local"' in message
    videos, bad = two_processes[0]['local']
    assert list(bad) == ['c/v5'] and 'a/v3' in videos
    assert two_processes[0]['worker'] == ['a/v0', 'b/v1', 'c/v2']
