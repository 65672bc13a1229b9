"""A video is compared with its checksum when it is first read; damage stops the run, and nothing replaces a video."""

import json
import math
import re
import shutil
import traceback

import numpy as np
import pytest
from torch.utils.data import DataLoader

from uscl.data.frame_shards import FrameShards
from uscl.data.frame_store import damaged_videos, read_index
from uscl.data.video_folder import VideoFolder
from uscl_plugin.datasets.stored_videos import _extend_message
from uscl_plugin.datasets.transforms import LoadFrame, LoadVideoFrames, SampleVideoFrames
from uscl_plugin.datasets.video_clusters import VideoClusterDataset
from uscl_plugin.datasets.video_frames import VideoFrameDataset


@pytest.fixture
def folder(patients, tmp_path):
    """Eighteen videos."""
    return shutil.copytree(patients, tmp_path / 'data')


def damage(folder, video_id, byte=77):
    """Change a byte of a video; returns the file."""
    video = read_index(folder).videos[video_id]
    path = folder / 'store' / video.shard
    content = bytearray(path.read_bytes())
    content[video.offset + byte] ^= 4
    path.write_bytes(content)
    return path


def exchange_entries(folder, videos):
    videos['a/v0'], videos['b/v4'] = videos['b/v4'], videos['a/v0']


def exchange_places(folder, videos):
    for key in ('offset', 'shard', 'crc32'):
        videos['a/v0'][key], videos['b/v4'][key] = videos['b/v4'][key], videos['a/v0'][key]


def copy_frames(folder, videos):
    """The frames of one video over those of another, and their checksum with them."""
    one, other = videos['a/v0'], videos['b/v4']
    path = folder / 'store' / one['shard']
    content, size = bytearray(path.read_bytes()), math.prod(one['shapes'][0])
    content[other['offset'] : other['offset'] + size] = content[one['offset'] : one['offset'] + size]
    path.write_bytes(content)
    other['crc32'] = one['crc32']


def turn_frames(folder, videos):
    (shape,) = videos['b/v4']['shapes']
    shape[1:] = shape[:0:-1]


def videos_of(dataset):
    return [dataset.get_data_info(i)['video_id'] for i in range(len(dataset))]


KINDS = [(VideoClusterDataset, [SampleVideoFrames(1), LoadVideoFrames()]), (VideoFrameDataset, [LoadFrame()])]


@pytest.mark.parametrize('exchange', [exchange_entries, exchange_places, copy_frames, turn_frames])
@pytest.mark.parametrize(('kind', 'steps'), KINDS)
def test_frames_of_another_video_are_not_trained_on(folder, kind, steps, exchange):
    path = folder / 'store' / 'index.json'
    content = json.loads(path.read_text())
    assert content['videos']['a/v0']['shapes'] == content['videos']['b/v4']['shapes']
    assert damaged_videos(folder) == {}
    exchange(folder, content['videos'])
    path.write_text(json.dumps(content))
    dataset = kind(str(folder), pipeline=steps)
    with pytest.raises(ValueError, match=r'checksum .*run the converter again') as error:
        dataset[videos_of(dataset).index('b/v4')]
    (shard,) = read_index(folder).shards
    assert str(error.value).startswith(f'{folder / "store" / shard} ')
    assert dataset[videos_of(dataset).index('c/v2')]['video_id'] == 'c/v2'
    assert 'b/v4' in damaged_videos(folder) and 'c/v2' not in damaged_videos(folder)
    with pytest.raises(ValueError, match=r"video 'b/v4': .*checksum"):
        list(VideoFolder(folder).frames(['b/v4#0']))


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize(('kind', 'steps'), KINDS)
@pytest.mark.parametrize('byte', [0, -1])
def test_a_flipped_bit_is_found_before_it_is_trained_on(folder, kind, steps, num_workers, byte):
    path = damage(folder, 'b/v4', byte % read_index(folder).videos['b/v4'].num_bytes)
    dataset = kind(str(folder), pipeline=steps)  # a start costs nothing
    seen = []

    def train():
        loader = DataLoader(dataset, batch_size=None, num_workers=num_workers, collate_fn=lambda item: item)
        for item in loader:
            seen.append(item['video_id'])

    text = raised(ValueError, train)
    assert f'{path} ' in text and 'checksum' in text and 'run the converter again' in text
    assert "while video 'b/v4' was prepared" in text and 'b/v4' not in seen
    unchecked = kind(str(folder), pipeline=steps, verify=False)
    assert 'b/v4' in {unchecked[k]['video_id'] for k in range(len(unchecked))}


@pytest.mark.parametrize(('kind', 'steps'), KINDS)
def test_each_video_is_compared_once_whoever_reads_it(folder, kind, steps, monkeypatch):
    dataset = kind(str(folder), pipeline=steps)
    for _ in DataLoader(dataset, batch_size=None, num_workers=2, collate_fn=lambda item: item):
        pass
    monkeypatch.setattr(FrameShards, 'checksum', lambda *_: pytest.fail('compared again'))
    for k in range(len(dataset)):
        dataset[k]


def test_other_videos_are_not_read_for_it(folder, monkeypatch):
    damage(folder, 'b/v4')
    dataset = VideoClusterDataset(str(folder), pipeline=[SampleVideoFrames(1), LoadVideoFrames()])
    good = [k for k, name in enumerate(videos_of(dataset)) if name != 'b/v4']
    assert [dataset[k]['video_id'] for k in good] == [videos_of(dataset)[k] for k in good]


def test_a_folder_without_store_says_so(patients, tmp_path):
    shutil.copy(patients / 'annotations.json', tmp_path)
    with pytest.raises(FileNotFoundError, match=r'index.json'):
        VideoClusterDataset(str(tmp_path))


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize(
    ('kind', 'steps'),
    [(VideoClusterDataset, [SampleVideoFrames(2), LoadVideoFrames()]), (VideoFrameDataset, [LoadFrame()])],
)
def test_no_other_sample_takes_the_place_of_none(folder, kind, steps, test_mode):
    """MMEngine's own dataset would draw another index."""

    def give_up(results):
        return None if results['video_id'] == 'b/v4' else results

    dataset = kind(str(folder), pipeline=[*steps, give_up], test_mode=test_mode)
    bad = videos_of(dataset).index('b/v4')
    assert dataset[bad - 1]['video_id'] == 'a/v3'
    with pytest.raises(ValueError, match=rf"{type(steps[0]).__name__}.*'b/v4'"):
        dataset[bad]


class OwnError(ZeroDivisionError):
    pass


def raised(kind, action):
    """The text of an error; its traceback would keep the loader's worker, which slows the next test down."""
    try:
        action()
    except kind as error:
        traceback.clear_frames(error.__traceback__)
        return '\n'.join([str(error), *getattr(error, '__notes__', [])])
    return pytest.fail(f'no {kind.__name__}')


@pytest.mark.parametrize('num_workers', [0, 1])
def test_errors_of_transforms_name_the_video_and_keep_their_type(folder, num_workers):
    def fail(results):
        raise OwnError('by zero')

    dataset = VideoClusterDataset(str(folder), pipeline=[fail])
    text = raised(OwnError, lambda: list(DataLoader(dataset, batch_size=None, num_workers=num_workers)))
    assert 'by zero' in text and f"while video 'a/v0' was prepared from {folder}" in text


@pytest.mark.parametrize(
    ('error', 'text'),
    [
        (ValueError('a', 3), r"\('a \(of v\)', 3\)"),
        (PermissionError(13, 'Permission denied', 'f.png'), r"\[Errno 13\] Permission denied \(of v\): 'f.png'"),
        (OSError('odd'), r'odd \(of v\)'),
        (ZeroDivisionError(), 'of v'),
    ],
)
def test_messages_of_older_pythons(error, text):
    _extend_message(error, 'of v')
    with pytest.raises(type(error), match=f'^{text}$'):
        raise error


@pytest.mark.parametrize('num_workers', [0, 1])
def test_a_shard_that_is_cut_off_during_a_run_is_an_error_with_its_path(patients, tmp_path, num_workers):
    """Not a bus error, which has no path, and ends a run without workers without a word."""
    folder = shutil.copytree(patients, tmp_path / 'data')
    dataset = VideoClusterDataset(str(folder), pipeline=[SampleVideoFrames(1), LoadVideoFrames()], verify=False)
    (name, size) = next(iter(read_index(folder).shards.items()))
    loader = DataLoader(dataset, batch_size=None, num_workers=num_workers, collate_fn=lambda item: item)
    shard = folder / 'store' / name
    seen = []

    def train():
        for item in loader:
            seen.append(np.array(item['imgs'][0]))
            with shard.open('r+b') as file:
                file.truncate(size // 2)

    text = raised(ValueError, train)
    assert re.search(rf'{shard} is truncated: .* \d+ bytes, .*byte \d+', text)
    assert len(seen) >= 8 and re.search(rf"while video './v\d+' was prepared from {shard}", text)
    with pytest.raises(ValueError, match='bytes'):  # and the next run does not begin
        VideoClusterDataset(str(folder))
