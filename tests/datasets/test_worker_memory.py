"""Memory of a loading worker against the number of videos, with a store as large as it would be (a file with holes)."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from uscl.data.annotations import write_annotations
from uscl.data.frame_store import StoredVideo, StoreIndex, write_index
from uscl_plugin.datasets.transforms import DrawViews, LoadVideoFrames, PackFrames, SampleVideoFrames, collate_frames
from uscl_plugin.datasets.video_clusters import VideoClusterDataset

FRAMES, SIDE = 22, 256
STEPS = 12  # of 32 videos


def make_videos(folder: Path, count: int) -> Path:
    """Videos of 22 black frames of 256 x 256."""
    size = FRAMES * SIDE**2
    entries, videos = [], {}
    for i in range(count):
        entries.append({'video_id': f'{i:05d}.mp4', 'patient_id': f'p{i // 3}', 'num_frames': FRAMES})
        videos[f'{i:05d}.mp4'] = StoredVideo('0.safetensors', i * size, ((FRAMES, SIDE, SIDE),), 0)
    (folder / 'store').mkdir(parents=True)
    write_annotations(folder / 'annotations.json', entries, [])
    write_index(folder, StoreIndex({'0.safetensors': count * size}, videos))
    with (folder / 'store/0.safetensors').open('wb') as file:
        file.truncate(count * size)
    return folder


def private_memory(_=None) -> float:
    """Megabytes that this process shares with no other: what a forked worker has copied or made."""
    lines = Path('/proc/self/smaps_rollup').read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(('Private_Dirty', 'Swap:'))) / 1024


def measure(batch):
    return collate_frames(batch)['inputs'].shape, private_memory()


def worker_memory(folder: Path) -> float:
    """Of a worker that loads some batches."""
    pipeline = [SampleVideoFrames(3), LoadVideoFrames('unchanged'), DrawViews(64), PackFrames()]
    options = dict(samples_per_video=-(-STEPS * 32 // 100), verify=False)  # the file has nothing but holes
    dataset = VideoClusterDataset(str(folder), pipeline=pipeline, **options)
    gc.collect()
    gc.freeze()  # else a collection in the worker copies the pages of all objects, at a random moment
    loader = DataLoader(dataset, batch_size=32, shuffle=True, num_workers=1, collate_fn=measure)
    found = [memory for (shape, memory), _ in zip(loader, range(STEPS), strict=False) if shape == (32, 3, 1, 256, 256)]
    assert len(found) == STEPS
    return max(found)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='needs /proc')
def test_memory_of_a_worker_does_not_depend_on_the_number_of_videos(tmp_path):
    folders = [make_videos(tmp_path / str(count), count) for count in (100, 30_000)]
    # A process of its own: what other tests left behind would be copied, too, now more and now less.
    run = subprocess.run([sys.executable, __file__, *folders], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    few, many = json.loads(run.stdout.splitlines()[-1])
    print(f'private memory of a worker: {few:.1f} MB with 100 videos, {many:.1f} MB with 30,000')
    assert many < few + 6  # seen: 2; 10 where the entries are not serialised


if __name__ == '__main__':
    print(json.dumps([worker_memory(Path(folder)) for folder in sys.argv[1:]]))
