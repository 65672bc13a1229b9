"""Bad videos are found at the start, dropped, listed and counted; too many stop the run; none is replaced."""

import re
import shutil
import traceback

import numpy as np
import pytest
from torch.utils.data import DataLoader

from uscl.data.annotations import read_annotations
from uscl.data.frame_packing import pack_frames
from uscl_plugin.datasets.sample_errors import _extend_message
from uscl_plugin.datasets.transforms import LoadFrame, LoadVideoFrames, SampleVideoFrames
from uscl_plugin.datasets.video_clusters import VideoClusterDataset
from uscl_plugin.datasets.video_frames import VideoFrameDataset


@pytest.fixture(params=['store', 'images'])
def folder(request, patients, tmp_path):
    """Eighteen videos, in a store or as image files."""
    copy = shutil.copytree(patients, tmp_path / 'data')
    if request.param == 'store':
        pack_frames(copy, entries_of(copy))
    return copy


def entries_of(folder):
    return read_annotations(folder / 'annotations.json')['data_list']


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


def damage(folder, video_id):
    """Change a byte of a video; returns the file."""
    entry = next(entry for entry in entries_of(folder) if entry['video_id'] == video_id)
    shards = sorted((folder / 'store').glob('*.bin'))
    if shards:
        index = pack_frames(folder, entries_of(folder))
        flip(shards[0], index.videos[video_id].offset + 77)
        return shards[0]
    flip(folder / entry['frames'][1], 60)
    return folder / entry['frames'][1]


def videos_of(dataset):
    return [dataset.get_data_info(i)['video_id'] for i in range(len(dataset))]


@pytest.mark.parametrize('kind', [VideoClusterDataset, VideoFrameDataset])
def test_a_bad_video_is_dropped_listed_and_counted(folder, kind, logged):
    whole = kind(str(folder))
    assert whole.bad_videos == {} and not logged
    path = damage(folder, 'b/v4')
    dataset = kind(str(folder), max_bad=0.1)
    assert list(dataset.bad_videos) == ['b/v4'] and str(path) in dataset.bad_videos['b/v4']
    assert videos_of(dataset) == [name for name in videos_of(whole) if name != 'b/v4']
    (message,) = logged
    assert message.startswith(f'1 of 18 videos of {folder} are bad and dropped:\n  b/v4: {path} ')
    unchecked = kind(str(folder), verify=False)
    assert videos_of(unchecked) == videos_of(whole) and unchecked.bad_videos == {} and len(logged) == 1


def test_the_share_decides(folder):
    for video_id in ('a/v0', 'c/v2', 'b/v4', 'a/v6'):
        damage(folder, video_id)
    assert len(VideoClusterDataset(str(folder), max_bad=4 / 18)) == 14
    with pytest.raises(ValueError, match=r"4 of 18 videos of .* are bad, more than max_bad=0\.2 allows: 'a/v0': ") as e:
        VideoClusterDataset(str(folder), max_bad=0.2)
    assert "'c/v2'" in str(e.value) and '; and 1 more. Copy the data again, or' in str(e.value)
    with pytest.raises(ValueError, match=r'max_bad=0\.01 allows'):
        VideoClusterDataset(str(folder))
    one = dict(filter_cfg=dict(labels=['a']), data_fraction=0.01, max_bad=1.0)
    damage(folder, videos_of(VideoClusterDataset(str(folder), verify=False, **one))[0])
    with pytest.raises(ValueError, match=r'1 of 1 videos of .* are bad'):  # nothing would be left
        VideoClusterDataset(str(folder), **one)


def test_choices_of_the_others_stay(folder):
    """Fractions choose as if all were sound: a bad video takes no label and no place with it."""
    options = dict(data_fraction=0.7, label_fraction=0.5, samples_per_video=2, max_bad=0.2)
    whole = VideoClusterDataset(str(folder), **options)
    before = [(i['video_id'], i['gt_label'], i['draw']) for i in map(whole.get_data_info, range(len(whole)))]
    labelled = next(video for video, label, _ in before if label >= 0)
    outside = next(entry['video_id'] for entry in entries_of(folder) if entry['video_id'] not in videos_of(whole))
    damage(folder, labelled)
    damage(folder, outside)  # nobody asks for it
    dataset = VideoClusterDataset(str(folder), **options)
    after = [(i['video_id'], i['gt_label'], i['draw']) for i in map(dataset.get_data_info, range(len(dataset)))]
    assert after == [row for row in before if row[0] != labelled] and list(dataset.bad_videos) == [labelled]
    alone = VideoClusterDataset(str(folder), **options, keep_unlabelled=False)
    assert set(videos_of(alone)) == {video for video, label, _ in after if label >= 0}


def test_a_video_is_bad_for_every_part_of_it(folder):
    damage(folder, 'b/v4')  # in its second frame
    for part in ((0.0, 0.25), (0.75, 1.0)):
        assert list(VideoClusterDataset(str(folder), frame_range=part, max_bad=0.1).bad_videos) == ['b/v4']


def test_all_files_gone_is_another_error(patients, tmp_path):
    shutil.copy(patients / 'annotations.json', tmp_path)
    with pytest.raises(FileNotFoundError, match=r'18 of 18 videos .* is gone.* run the converter again'):
        VideoClusterDataset(str(tmp_path), max_bad=1.0)


@pytest.mark.parametrize('verify', ['all', None, 2])
def test_other_values_are_refused(patients, verify):
    with pytest.raises(ValueError, match=f"verify should be True, False or 'local', got {verify!r}"):
        VideoClusterDataset(str(patients), verify=verify)


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize(
    ('kind', 'steps'),
    [(VideoClusterDataset, [SampleVideoFrames(2), LoadVideoFrames()]), (VideoFrameDataset, [LoadFrame()])],
)
def test_no_other_sample_takes_the_place_of_none(folder, kind, steps, test_mode):
    """MMEngine's own data set would draw another index."""

    def give_up(results):
        return None if results['video_id'] == 'b/v4' else results

    dataset = kind(str(folder), pipeline=[*steps, give_up], test_mode=test_mode)
    bad = videos_of(dataset).index('b/v4')
    assert dataset[bad - 1]['video_id'] == 'a/v3'
    with pytest.raises(ValueError, match=rf"video 'b/v4' from {folder}.*{type(steps[0]).__name__}, .* as None, and no"):
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
    index = pack_frames(folder, entries_of(folder))
    dataset = VideoClusterDataset(str(folder), pipeline=[SampleVideoFrames(1), LoadVideoFrames()])
    loader = DataLoader(dataset, batch_size=None, num_workers=num_workers, collate_fn=lambda item: item)
    shard, size = folder / 'store' / index.shards[0][0], index.shards[0][1]
    seen = []

    def train():
        for item in loader:
            seen.append(np.array(item['imgs'][0]))
            with shard.open('r+b') as file:
                file.truncate(size // 2)

    text = raised(ValueError, train)
    assert re.search(rf'{shard} has \d+ bytes, but a video ends at byte \d+: it was cut off', text)
    assert len(seen) >= 8 and re.search(rf"while video './v\d+' was prepared from {shard}", text)
    with pytest.raises(ValueError, match='should have'):  # and the next run does not begin
        VideoClusterDataset(str(folder))


@pytest.mark.parametrize('kind', [VideoClusterDataset, VideoFrameDataset])
def test_a_file_that_is_damaged_during_a_run_stops_it(patients, tmp_path, kind):
    folder = shutil.copytree(patients, tmp_path / 'data')
    steps = [LoadFrame()] if kind is VideoFrameDataset else [SampleVideoFrames(9), LoadVideoFrames()]
    dataset = kind(str(folder), pipeline=steps)
    path = folder / entries_of(folder)[0]['frames'][0]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"{path} of video 'a/v0' cannot be decoded"):
        dataset[0]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f'{path}'):
        dataset[0]
