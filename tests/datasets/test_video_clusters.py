import json
import random
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from uscl_plugin.datasets.transforms import LoadVideoFrames, MixFrames, SampleVideoFrames
from uscl_plugin.datasets.video_clusters import VideoClusterDataset

PIPELINE = [SampleVideoFrames(3), LoadVideoFrames(), MixFrames()]


def items(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def labels(dataset):
    return {item['video_id']: item['gt_label'] for item in items(dataset)}


def test_an_item_is_a_video(clusters):
    dataset = VideoClusterDataset(str(clusters))
    assert dataset.metainfo['classes'] == ('a', 'b')
    assert labels(dataset) == {'a/v0': 0, 'b/v1': 1, 'a/v2': 0, 'b/v3': 1, 'a/two': 0, 'b/one': 1, 'none/v': -1}
    item = dataset.get_data_info(1)
    assert (item['video_id'], item['patient_id'], item['num_frames']) == ('b/v1', 'p1', 6)
    assert dataset.frames(item).shape == (6, 48, 56)
    assert dataset.get_data_info(4)['patient_id'] is None


def test_views_of_all_videos_come_out_of_the_pipeline(clusters):
    dataset = VideoClusterDataset(str(clusters), pipeline=PIPELINE)
    for i in range(len(dataset)):
        item = dataset[i]
        assert len(item['img']) == 2
        greys = [10 * (k + 1) for k in item['frame_inds']]  # frame k has mean grey 10 (k + 1)
        for view, grey in zip(item['img'], [greys[0], greys[-1]], strict=True):
            low, high = sorted([grey, greys[len(greys) // 2]])
            assert low - 1 < view.mean() < high + 1  # between its frame and the anchor


def draws(dataset, num_workers=0, epoch=None):
    if epoch is not None:
        dataset.set_epoch(epoch, run_seed=5)
    loader = DataLoader(dataset, batch_size=None, num_workers=num_workers, shuffle=True)
    found = {item['video_id']: (item['frame_inds'].tolist(), item['mix_ratios']) for item in loader}
    return dict(sorted(found.items()))


def test_draws_depend_on_seed_epoch_and_video_alone(clusters):
    dataset = VideoClusterDataset(str(clusters), pipeline=PIPELINE)
    reference = draws(dataset, epoch=3)
    np.random.seed(123)
    assert draws(dataset, num_workers=2, epoch=3) == reference
    assert draws(VideoClusterDataset(str(clusters), pipeline=PIPELINE, data_fraction=0.5), epoch=3).items() <= (
        reference.items()
    )
    assert draws(dataset, epoch=4) != reference
    others = []
    for run_seed, epoch in ((6, 3), (4, 4), (3, 5), (5, 2)):
        dataset.set_epoch(epoch, run_seed=run_seed)
        others.append(draws(dataset))
    assert all(a != b for i, a in enumerate(others) for b in [reference, *others[:i]])


def test_persistent_workers_see_the_epoch_change(clusters):
    dataset = VideoClusterDataset(str(clusters), pipeline=PIPELINE)
    loader = DataLoader(dataset, batch_size=None, num_workers=1, persistent_workers=True)
    seen = []
    for epoch in (0, 1, 0):
        dataset.set_epoch(epoch)
        seen.append([item['mix_ratios'] for item in loader])
    assert seen[0] == seen[2] != seen[1]


def test_global_generators_are_left_as_they_were(clusters):
    dataset = VideoClusterDataset(str(clusters), pipeline=PIPELINE)
    for reset, draw in (
        (random.seed, random.random),
        (np.random.seed, np.random.rand),
        (torch.manual_seed, lambda: torch.rand(1).item()),
    ):
        reset(1)
        expected = draw()
        reset(1)
        dataset[0]
        assert draw() == expected


def test_torch_and_python_draws_are_seeded_too(clusters):
    def add(results):
        results['noise'] = (random.random(), torch.rand(1).item(), float(np.random.rand()))
        return results

    dataset = VideoClusterDataset(str(clusters), pipeline=[add])
    first = [dataset[i]['noise'] for i in range(3)]
    assert first == [dataset[i]['noise'] for i in range(3)]
    assert len({value for noise in first for value in noise}) == 9  # nothing shared between videos


def test_repeating_epoch_zero_is_warned_about_once(clusters):
    dataset = VideoClusterDataset(str(clusters), pipeline=PIPELINE)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        draws(dataset)
    with pytest.warns(UserWarning, match=r'every epoch repeats the draws of epoch 0: add.*SampleSeedHook'):
        draws(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        draws(dataset)


@pytest.mark.parametrize('fraction, expected', [(1.0, 6), (0.5, 4), (0.01, 2), (0.0, 0)])
def test_label_fraction_hides_labels_and_keeps_videos(clusters, fraction, expected):
    dataset = VideoClusterDataset(str(clusters), label_fraction=fraction)
    kept = {video: label for video, label in labels(dataset).items() if label >= 0}
    assert len(dataset) == 7
    assert len(kept) == expected
    assert kept.items() <= labels(VideoClusterDataset(str(clusters))).items()
    if expected:
        assert set(kept.values()) == {0, 1}


@pytest.mark.parametrize('fraction, expected', [(1.0, 7), (0.5, 5), (0.01, 3), (0.0, 0)])
def test_data_fraction_keeps_a_share_of_every_class(clusters, fraction, expected):
    dataset = VideoClusterDataset(str(clusters), data_fraction=fraction)
    assert len(dataset) == expected
    if expected:
        assert set(labels(dataset).values()) == {-1, 0, 1}


@pytest.mark.parametrize('name', ['label_fraction', 'data_fraction'])
@pytest.mark.parametrize('fraction', [-0.01, 1.01, 10, float('nan')])
def test_fraction_outside_is_an_error(clusters, name, fraction):
    with pytest.raises(ValueError, match=rf'^{name} '):
        VideoClusterDataset(str(clusters), **{name: fraction})


def test_label_map_and_classes(clusters):
    joined = VideoClusterDataset(str(clusters), label_map=dict(a=0, b=0))
    assert joined.metainfo['classes'] == ('a/b',)
    assert set(labels(joined).values()) == {0, -1}
    swapped = VideoClusterDataset(str(clusters), classes=['b', 'a'])
    assert labels(swapped)['a/v0'] == 1
    named = VideoClusterDataset(str(clusters), classes=['x', 'y'], label_map=dict(a='y', b='x'))
    assert (labels(named)['a/v0'], named.metainfo['classes']) == (1, ('x', 'y'))


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(classes=['a']), r"video 'b/.*'b', .*\['a'\].*label_map"),
        (dict(label_map=dict(a=0)), "'b'"),
        (dict(label_map=dict(a='x', b=0)), "label_map .*'a' .*'x'"),
        (dict(label_map=dict(a=0, b=2)), 'label_map .*class 1 '),
        (dict(label_map=dict(a=0, b=2), classes=['a', 'b']), "label_map .*'b' .*class 2"),
        (dict(split='val'), "'val'"),
        (dict(filter_cfg=dict(labels=['c'])), 'split=None and filter_cfg='),
        (dict(frame_range=(0.5, 0.5)), 'frame_range'),
    ],
)
def test_settings_that_do_not_fit_are_errors(clusters, settings, message):
    with pytest.raises(ValueError, match=message):
        VideoClusterDataset(str(clusters), **settings)


def test_filter_leaves_other_labels_out(clusters):
    dataset = VideoClusterDataset(str(clusters), filter_cfg=dict(labels=['b']), label_map=dict(b=0))
    assert set(labels(dataset)) == {'b/v1', 'b/v3', 'b/one'}


def test_frame_range_parts_share_no_frame(clusters):
    seen, unseen = (VideoClusterDataset(str(clusters), frame_range=r) for r in ((0, 0.75), (0.75, 1)))
    for i, whole in enumerate(items(VideoClusterDataset(str(clusters)))):
        first, second = seen.get_data_info(i), unseen.get_data_info(i)
        if whole['num_frames'] >= 4:
            assert (first['first'], second['first']) == (0, first['num_frames'])
            assert first['num_frames'] + second['num_frames'] == whole['num_frames']
            both = np.concatenate([seen.frames(first), unseen.frames(second)])
            np.testing.assert_array_equal(both, seen._shards.frames(whole['places']))


def test_annotation_of_another_version(clusters, tmp_path):
    annotations = json.loads((clusters / 'annotations.json').read_text())
    annotations['metainfo']['format_version'] = 1
    (tmp_path / 'annotations.json').write_text(json.dumps(annotations))
    with pytest.raises(ValueError, match=r'format version 1'):
        VideoClusterDataset(str(tmp_path))


def test_home_is_expanded(clusters, monkeypatch):
    monkeypatch.setenv('HOME', str(clusters.parent))
    assert len(VideoClusterDataset(f'~/{clusters.name}')) == 7


@pytest.mark.parametrize('samples', [2, 5])
def test_samples_of_a_video_draw_apart_and_the_first_as_if_alone(clusters, samples):
    once = VideoClusterDataset(str(clusters), pipeline=PIPELINE, seed=3)
    often = VideoClusterDataset(str(clusters), pipeline=PIPELINE, seed=3, samples_per_video=samples)
    assert len(often) == samples * len(once)
    found = [(i['video_id'], i['mix_ratios']) for i in map(often.__getitem__, range(len(often)))]
    assert found[: len(once)] == [(i['video_id'], i['mix_ratios']) for i in map(once.__getitem__, range(len(once)))]
    ratios = [ratio for _, ratio in found if ratio]  # videos of one or two frames mix nothing
    assert len(set(ratios)) == len(ratios) == 5 * samples
    assert [video for video, _ in found] == [video for video, _ in found[: len(once)]] * samples
    assert [often.get_data_info(i)['sample_idx'] for i in range(len(often))] == list(range(len(often)))


@pytest.mark.parametrize('samples', [0, -1])
def test_no_samples_of_a_video(clusters, samples):
    with pytest.raises(ValueError, match='samples_per_video'):
        VideoClusterDataset(str(clusters), samples_per_video=samples)


@pytest.mark.parametrize('fraction', [1.0, 0.5])
def test_labelled_videos_alone(clusters, fraction):
    whole = VideoClusterDataset(str(clusters), label_fraction=fraction)
    labelled = VideoClusterDataset(str(clusters), label_fraction=fraction, keep_unlabelled=False)
    assert labels(labelled) == {name: label for name, label in labels(whole).items() if label >= 0} != labels(whole)
    with pytest.raises(ValueError, match=r'label_fraction=0\.0'):
        VideoClusterDataset(str(clusters), label_fraction=0.0, keep_unlabelled=False)
