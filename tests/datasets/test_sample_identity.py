"""A sample has pixels, id, patient and label of one and the same video, whatever is chosen and whatever is damaged.

Every pixel of frame k of video v says (v, k), so that a frame of another video cannot go unnoticed.
"""

import random
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from uscl.data.annotations import read_annotations
from uscl.data.folder_writer import write_data_folder
from uscl.data.frame_ids import frame_id, split_frame_id
from uscl.data.frame_range import frames_in_range
from uscl.data.frame_store import read_index
from uscl_plugin.datasets.transforms import LoadFrame, LoadVideoFrames, SampleVideoFrames
from uscl_plugin.datasets.video_clusters import VideoClusterDataset
from uscl_plugin.datasets.video_frames import VideoFrameDataset

LABELS = ['a', 'b', 'c', None]
MAPS = [  # with the classes that they are for
    (None, None),
    (None, ['c', 'a', 'b']),
    ({'a': 0, 'b': 1, 'c': 1}, None),
    ({'a': 'x', 'b': 'y', 'c': 'x'}, ['y', 'x']),
]


def draw_pixels(video: int, frame: int, colour: bool) -> np.ndarray:
    """(8 + video % 3, 12[, 3]) uint8: the first half of the columns is the video, the other one the frame."""
    image = np.zeros((8 + video % 3, 12), np.uint8)
    image[:, :6], image[:, 6:] = 100 + video, frame
    return np.stack([image + 1, image, image], axis=-1) if colour else image


def read_pixels(image: np.ndarray) -> tuple[int, int]:
    """The video and the frame that an image (H, W, 3) was drawn for."""
    video, frame = int(image[0, 0, 0]) - 100, int(image[0, 11, 0])
    assert (image[:, :6, :2] == 100 + video).all() and (image[:, 6:, :2] == frame).all()
    assert image.shape == (8 + video % 3, 12, 3)
    return video, frame


def make_folder(rng: random.Random, folder: Path) -> list[dict]:
    """Twenty videos of random label, patient, split, length and kind; two or three of frames that differ in size."""
    videos = []
    for video in range(20):
        colour = rng.random() < 0.3
        frames = [draw_pixels(video, k, colour) for k in range(rng.randint(1, 7))]
        patient = None if rng.random() < 0.2 else f'p{rng.randrange(8)}'
        label = LABELS[video] if video < 3 else rng.choice(LABELS)
        split = ['train', 'val', 'test'][video % 3]
        videos.append(dict(video_id=f'{label}/v{video}', patient_id=patient, label=label, split=split, frames=frames))
    rng.shuffle(videos)
    write_data_folder(folder, videos, classes=['a', 'b', 'c'])
    return read_annotations(folder / 'annotations.json')['data_list']


def damage(rng: random.Random, folder: Path, entries: list[dict]) -> set[str]:
    """Change a byte of some videos; returns their ids."""
    broken = {entry['video_id'] for entry in rng.sample(entries, rng.randint(0, 6))}
    for video_id in broken:
        video = read_index(folder).videos[video_id]
        path = folder / 'store' / video.shard
        content = bytearray(path.read_bytes())
        content[rng.randrange(video.offset, video.offset + video.num_bytes)] ^= rng.randrange(1, 256)
        path.write_bytes(content)
    return broken


def load(dataset, rng: random.Random, broken: set[str]) -> list[dict]:
    """All samples in random order, but for those of broken videos, each of which is an error."""
    order = rng.sample(range(len(dataset)), len(dataset))
    sound = [k for k in order if dataset.get_data_info(k)['video_id'] not in broken]
    for k in set(order) - set(sound):
        with pytest.raises(ValueError, match='checksum'):
            dataset[k]
    workers = rng.choice([0, 0, 0, 2])
    return list(DataLoader(dataset, batch_size=None, sampler=sound, num_workers=workers, collate_fn=lambda item: item))


@pytest.mark.parametrize('seed', [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 24))])
def test_every_sample_is_of_one_video_and_none_is_missing(seed, tmp_path):
    rng = random.Random(seed)
    entries = make_folder(rng, tmp_path)
    options = dict(
        split=rng.choice([None, 'train', ['val', 'test']]),
        label_fraction=rng.choice([1.0, 0.6, 0.2]),
        data_fraction=rng.choice([1.0, 0.7]),
        seed=rng.randrange(5),
        frame_range=[(0.0, 1.0), (0.0, 0.6), (0.6, 1.0)][seed // 2 % 3],
    )
    options['label_map'], options['classes'] = rng.choice(MAPS)
    whole = VideoClusterDataset(str(tmp_path), **options, verify=False)
    chosen = {row['video_id']: row['gt_label'] for row in map(whole.get_data_info, range(len(whole)))}
    broken = damage(rng, tmp_path, entries)
    sound = {video_id: label for video_id, label in chosen.items() if video_id not in broken}
    if not sound:
        pytest.fail('all of the chosen are broken: take another seed')

    def check(sample, images, frame_numbers):
        entry = by_id[sample['video_id']]
        assert sample['patient_id'] == entry['patient_id'] and sample['gt_label'] == sound[sample['video_id']]
        if sample['gt_label'] >= 0:
            classes = dataset.metainfo['classes']
            target = (options['label_map'] or {}).get(entry['label'], entry['label'])
            assert target in (sample['gt_label'], classes[sample['gt_label']])
        number = int(entry['video_id'].split('/v')[1])
        found = [read_pixels(image) for image in images]
        assert found == [(number, k) for k in frame_numbers]

    by_id = {entry['video_id']: entry for entry in entries}
    parts = {v: frames_in_range(by_id[v]['num_frames'], options['frame_range']) for v in sound}
    samples_per_video = rng.choice([1, 3])
    dataset = VideoClusterDataset(
        str(tmp_path),
        **options,
        samples_per_video=samples_per_video,
        pipeline=[SampleVideoFrames(3), LoadVideoFrames()],
    )
    samples = load(dataset, rng, broken)
    for sample in samples:
        part = parts[sample['video_id']]
        check(sample, sample['imgs'], [part[k] for k in sample['frame_inds']])
    assert sorted(sample['video_id'] for sample in samples) == sorted([*sound] * samples_per_video)

    dataset = VideoFrameDataset(str(tmp_path), **options, keep_unlabelled=True, pipeline=[LoadFrame()])
    samples = load(dataset, rng, broken)
    for sample in samples:
        assert sample['split'] in (None, by_id[sample['video_id']]['split'])
        video_id, position = split_frame_id(sample['frame'])
        assert video_id == sample['video_id']
        check(sample, [sample['img']], [position])
    assert sorted(s['frame'] for s in samples) == sorted(frame_id(v, k) for v in sound for k in parts[v])
