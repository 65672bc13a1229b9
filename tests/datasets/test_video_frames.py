import json

import numpy as np
import pytest

from uscl.data.annotations import read_annotations
from uscl.data.fold_making import make_folds
from uscl.data.folds import SIDES, write_folds
from uscl.data.frame_ids import frame_id
from uscl_plugin.datasets.video_clusters import VideoClusterDataset
from uscl_plugin.datasets.video_frames import VideoFrameDataset, spread_evenly


@pytest.fixture(scope='module')
def data(make_clusters, tmp_path_factory):
    """Twelve videos of two classes and six patients, one unlabelled; with a file of three folds."""
    videos = {f'{"ab"[k % 2]}/v{k}': (3 + k % 4, 'ab'[k % 2], f'{"ab"[k % 2]}{k // 4}') for k in range(12)}
    folder = make_clusters(tmp_path_factory.mktemp('frames'), videos | {'u/v': (5, None, 'x')})
    entries = read_annotations(folder / 'annotations.json')['data_list']
    write_folds(folder / 'folds.json', make_folds(entries, 3, 0, val_fraction=0.4))
    return folder


def items(dataset):
    return [dataset.get_data_info(k) for k in range(len(dataset))]


def test_an_item_is_a_frame_that_knows_its_video_and_patient(data):
    rows = items(VideoFrameDataset(str(data)))
    wanted = [e for e in read_annotations(data / 'annotations.json')['data_list'] if e['label'] is not None]
    assert [r['frame'] for r in rows] == [frame_id(e['video_id'], k) for e in wanted for k in range(e['num_frames'])]
    by_video = {e['video_id']: e for e in wanted}
    for row in rows:
        entry = by_video[row['video_id']]
        assert row['patient_id'] == entry['patient_id']
        assert row['gt_label'] == 'ab'.index(entry['label'])
        assert row['img_path'] == row['frame'] and row['frame'].startswith(f'{entry["video_id"]}#')
    unlabelled = items(VideoFrameDataset(str(data), keep_unlabelled=True))
    assert [r['gt_label'] for r in unlabelled[len(rows) :]] == [-1] * 5


@pytest.mark.parametrize('fold', range(3))
def test_sides_of_a_fold_divide_the_frames(data, fold):
    parts = {s: items(VideoFrameDataset(str(data), fold=fold, split=s)) for s in SIDES}
    every = [row['frame'] for rows in parts.values() for row in rows]
    assert sorted(every) == sorted(row['frame'] for row in items(VideoFrameDataset(str(data))))
    for side, rows in parts.items():
        assert {row['split'] for row in rows} == {side}
        others = {r['patient_id'] for s, other in parts.items() if s != side for r in other}
        assert not others & {r['patient_id'] for r in rows}
    both = items(VideoFrameDataset(str(data), fold=fold, split=['val', 'test']))
    assert sorted(r['frame'] for r in both) == sorted(r['frame'] for s in ('val', 'test') for r in parts[s])


@pytest.mark.parametrize('kind', [VideoFrameDataset, VideoClusterDataset])
def test_several_splits(make_clusters, tmp_path, kind):
    make_clusters(tmp_path, {f'{split}{k}': (2, 'ab'[k]) for split in ('train', 'val', 'test') for k in range(2)})
    annotations = json.loads((tmp_path / 'annotations.json').read_text())
    for entry in annotations['data_list']:
        entry['split'] = entry['video_id'][:-1]
    (tmp_path / 'annotations.json').write_text(json.dumps(annotations))
    for wanted in (['val', 'test'], ['train'], 'val', ('train', 'val', 'test')):
        names = {row['video_id'] for row in items(kind(str(tmp_path), split=wanted, serialize_data=False))}
        assert names == {f'{s}{k}' for s in ([wanted] if isinstance(wanted, str) else wanted) for k in range(2)}
    with pytest.raises(ValueError, match=r'other'):
        kind(str(tmp_path), split=['val', 'other'])
    assert not kind(str(tmp_path), serialize_data=False).serialize_data


def test_splits_of_the_annotation(make_clusters, tmp_path):
    folder = make_clusters(tmp_path, {'v0': (3, 'a'), 'v1': (2, 'b')}, split='train')
    assert len(VideoFrameDataset(str(folder), split='train')) == 5
    with pytest.raises(ValueError, match=r'test .*fold=None.*train'):
        VideoFrameDataset(str(folder), split='test')


@pytest.mark.parametrize(('n', 'count'), [(1, 1), (5, 1), (10, 3), (7, 7), (3, 9), (100, 8)])
def test_frames_are_spread_evenly(n, count):
    found = spread_evenly(n, count)
    assert found == sorted(set(found))
    assert len(found) == min(n, count)
    # Each is in its own of `count` equal parts of the time.
    if count < n:
        assert [int(k * count // n) for k in found] == list(range(count))
    assert spread_evenly(n, None) == list(range(n))


def test_frames_per_video_counts_the_frames_of_the_side(data):
    for side in SIDES:
        rows = items(VideoFrameDataset(str(data), fold=1, split=side, frames_per_video=2))
        _, counts = np.unique([row['video_id'] for row in rows], return_counts=True)
        assert set(counts) == {2}


def test_draws_depend_on_the_frame_and_the_epoch_alone(data):
    def draw(results):
        return {'frame': results['frame'], 'draw': np.random.rand()}

    dataset = VideoFrameDataset(str(data), pipeline=[draw])
    draws = []
    for epoch in (0, 1):
        dataset.set_epoch(epoch, 3)
        draws.append({dataset[k]['frame']: dataset[k]['draw'] for k in np.random.permutation(len(dataset))})
    assert len(set(draws[0].values()) | set(draws[1].values())) == 2 * len(dataset)
    part = VideoFrameDataset(str(data), fold=0, split='test', pipeline=[draw])
    part.set_epoch(1, 3)
    assert all(draws[1][item['frame']] == item['draw'] for item in (part[k] for k in range(len(part))))


def test_errors_name_the_remedy(data, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none.json'):
        VideoFrameDataset(str(data), fold=0, split='train', fold_file='none.json')
    with pytest.raises(ValueError, match=r'fold .*3'):
        VideoFrameDataset(str(data), fold=3, split='train')
    with pytest.raises(ValueError, match='frames_per_video'):
        VideoFrameDataset(str(data), frames_per_video=0)
    with pytest.raises(ValueError, match=r'fold=.*split='):
        VideoFrameDataset(str(data), label_fraction=0.0)
    folds = json.loads((data / 'folds.json').read_text())
    folds['folds'][0]['train'].append(folds['folds'][0]['test'][0])
    (data / 'leak.json').write_text(json.dumps(folds))
    with pytest.raises(ValueError, match=r'train .*test of fold 0'):
        VideoFrameDataset(str(data), fold=0, split='train', fold_file='leak.json')


def test_samples_of_a_video_are_not_for_frames(make_clusters, tmp_path):
    folder = make_clusters(tmp_path, {'v0': (3, 'a'), 'v1': (2, 'b')})
    with pytest.raises(TypeError, match='samples_per_video'):
        VideoFrameDataset(str(folder), samples_per_video=2)
