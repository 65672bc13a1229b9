import json
from math import log

import numpy as np
import pytest

from uscl.reports.feature_map import embed, feature_maps
from uscl.reports.figures import loss_curves, similarity_histograms, triplet_sheet
from uscl.reports.training_log import find_scalars, read_held_out, read_scalars


def texts(axes):
    return [t.get_text() for t in axes.texts]


def titles(figure):
    return [axes.get_title(loc='left') or axes.get_title() for axes in figure.axes]


def drawn(figure):
    """Pixels of the figure, which also proves that it can be drawn without a display."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def curves(*keys, n=5):
    return {key: (np.arange(1.0, n + 1), np.linspace(3, 1, n)) for key in keys}


class TestLossCurves:
    def test_a_panel_for_each_known_key(self):
        figure = loss_curves(curves('loss', 'loss_contrastive', 'loss_cls', 'accuracy', 'lr', 'time', 'epoch'))
        assert len(figure.axes) == 5
        np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), np.linspace(3, 1, 5))
        assert drawn(figure).std() > 0

    def test_chance_is_marked_only_if_the_batch_is_known(self):
        assert len(loss_curves(curves('loss_contrastive')).axes[0].lines) == 1
        axes = loss_curves(curves('loss_contrastive'), batch_size=32).axes[0]
        np.testing.assert_allclose(axes.lines[-1].get_ydata(), log(63))
        assert 'log(2·32 − 1) = 4.14' in texts(axes)[0]

    def test_the_total_is_not_shown_twice(self):
        assert len(loss_curves(curves('loss', 'loss_contrastive')).axes) == 1

    def test_many_points_are_smoothed_without_shift(self):
        x = np.arange(1000.0)
        axes = loss_curves({'loss': (x, x / 10 + np.where(x % 2, 5, -5))}).axes[0]
        noisy, smooth = axes.lines[0].get_ydata(), axes.lines[1].get_ydata()
        assert np.abs(noisy - x / 10).max() == pytest.approx(5)
        assert np.abs(smooth - x / 10)[20:-20].max() < 0.5

    def test_one_point_and_a_broken_value_can_be_drawn(self):
        drawn(loss_curves(curves('loss', 'lr', n=1), 4))
        drawn(loss_curves({'loss': (np.arange(100.0), np.r_[np.ones(99), np.nan])}))

    def test_an_empty_log(self):
        with pytest.raises(ValueError, match='time'):
            loss_curves(curves('time'))


class TestLog:
    def write(self, path, lines):
        path.parent.mkdir(parents=True)
        path.write_text('\n'.join(line if isinstance(line, str) else json.dumps(line) for line in lines) + '\n')

    def test_a_resumed_run_is_joined(self, tmp_path):
        first, second = (tmp_path / t / 'vis_data' / 'scalars.json' for t in ('20260101_120000', '20260102_080000'))
        self.write(second, [{'loss': 20.0, 'iter': 20, 'lr': 0.2}, {'loss': 30.0, 'iter': 30, 'accuracy': 50.0}])
        self.write(first, [{'loss': 1.0, 'iter': 10, 'lr': 0.1}, {'loss': 2.0, 'iter': 20}, {'loss': 3.0, 'iter': 30}])
        assert find_scalars(tmp_path / 'epoch_3.pth') == [first, second]
        found = read_scalars(find_scalars(tmp_path / 'epoch_3.pth'))
        np.testing.assert_array_equal(found['loss'], [[10, 20, 30], [1, 20, 30]])
        np.testing.assert_array_equal(found['lr'], [[10, 20], [0.1, 0.2]])
        np.testing.assert_array_equal(found['accuracy'], [[30], [50]])

    def test_validation_lines_empty_lines_and_a_cut_end_are_left_out(self, tmp_path):
        path = tmp_path / 'x' / 'vis_data' / 'scalars.json'
        self.write(path, [{'loss': 1.0, 'step': 5}, {'val/auroc': 0.9, 'step': 1}, '', '{"loss": 2.0, "it'])
        found = read_scalars([path])
        np.testing.assert_array_equal(found['loss'], [[5], [1]])
        assert 'val/auroc' not in found

    def test_held_out_measures_are_read_by_epoch_also_if_a_run_was_resumed(self, tmp_path):
        first, second = (tmp_path / t / 'vis_data' / 'scalars.json' for t in ('20260101_120000', '20260102_080000'))
        held_out = [
            {'held_out/knn': share, 'step': step} for share, step in ((0.1, 5), (0.2, 10), (0.3, 10), (0.4, 15))
        ]
        train = {'loss': 1.0, 'epoch': 5, 'iter': 50, 'step': 50}
        self.write(first, [train, held_out[0], held_out[1] | {'held_out/new': 2}, {'health/rank': 3.0, 'step': 100}])
        self.write(second, [train, *held_out[2:]])
        found = read_held_out([first, second])
        assert found.keys() == {'knn'}  # what only the discarded part had is gone
        np.testing.assert_array_equal(found['knn'], [[5, 10, 15], [0.1, 0.3, 0.4]])
        assert read_held_out([first]).keys() == {'knn', 'new'} and read_held_out([]) == {}

    def test_nan_stays(self, tmp_path):
        path = tmp_path / 'x' / 'vis_data' / 'scalars.json'
        self.write(path, ['{"loss": NaN, "iter": 1}', '{"loss": 1, "iter": 2}'])
        np.testing.assert_array_equal(read_scalars([path])['loss'][1], [np.nan, 1])

    def test_damage_in_the_middle_is_reported(self, tmp_path):
        path = tmp_path / 'x' / 'vis_data' / 'scalars.json'
        self.write(path, ['{"loss": 1', {'loss': 2.0, 'iter': 2}])
        with pytest.raises(ValueError, match='entry 1'):
            read_scalars([path])

    def test_no_log(self, tmp_path):
        assert find_scalars(tmp_path / 'epoch_1.pth') == []
        assert read_scalars([]) == {}


class TestHistograms:
    rng = np.random.default_rng(0)

    def test_areas_axis_and_means(self):
        pairs = {'A': (self.rng.uniform(0.5, 1, 50), self.rng.uniform(-1, 1, 999)), 'B': (np.ones(3), np.zeros(5))}
        figure = similarity_histograms(pairs, notes={'A': 'AUROC 0.9'})
        assert titles(figure) == ['A: AUROC 0.9', 'B']
        assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
        for axes, pair in zip(figure.axes, pairs.values(), strict=True):
            assert [line.get_xdata()[0] for line in axes.lines] == [values.mean() for values in pair]
            for patch in axes.patches:
                x, y = patch.get_xy()[:-1].T
                area = abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) + x[-1] * y[0] - x[0] * y[-1]) / 2
                assert area == pytest.approx(1)  # so every value is in a bin

    def test_one_kind_missing_and_all_values_equal(self):
        assert drawn(similarity_histograms({'A': (np.ones(4), np.empty(0))})).std() > 0

    def test_no_pair(self):
        with pytest.raises(ValueError, match='pairs'):
            similarity_histograms({'A': (np.empty(0), np.empty(0))})


def triplet(count, ratios=()):
    image = np.zeros((6, 8, 3), np.uint8)
    frames = [image + 10 * i for i in range(count)]
    return {'video_id': 'a/<b>.mp4', 'frames': frames, 'views': [image + 100, image + 200], 'mix_ratios': ratios}


class TestTriplets:
    def test_images_names_and_ratios(self):
        figure = triplet_sheet([triplet(3, (0.25, 0.9)), triplet(2), triplet(1)])
        first, second, third = np.array(figure.axes).reshape(3, 6)
        assert [int(axes.images[0].get_array().max()) for axes in first[[0, 1, 2, 4, 5]]] == [0, 10, 20, 100, 200]
        assert [axes.get_title() for axes in first] == ['x1', 'x2, the anchor', 'x3', '', 'view 1', 'view 2']
        assert texts(first[0]) == ['a/<b>.mp4']
        assert texts(first[4]) + texts(first[5]) == ['0.25·x1 + 0.75·x2', '0.90·x3 + 0.10·x2']
        assert [len(axes.images) for axes in second] == [1, 1, 0, 0, 1, 1]
        assert texts(second[4]) + texts(second[5]) == ['x1', 'x2']
        assert texts(third[4]) + texts(third[5]) == ['x1', 'x1']
        drawn(figure)

    def test_no_video(self):
        with pytest.raises(ValueError, match='no video'):
            triplet_sheet([])


class TestMap:
    def test_clusters_stay_apart_and_the_seed_decides(self):
        rng = np.random.default_rng(0)
        video = np.repeat(np.arange(3), 12)
        features = np.eye(3, 8)[video] + 0.02 * rng.normal(size=(36, 8))
        found = embed(features)
        assert found.shape == (36, 2)
        np.testing.assert_array_equal(found, embed(features))
        nearest = np.linalg.norm(found[:, None] - found[None], axis=2) + np.diag(np.full(36, np.inf))
        assert (video[nearest.argmin(axis=1)] == video).all()

    @pytest.mark.parametrize('n', [1, 2, 3, 4, 5, 7])
    def test_few_frames(self, n):
        found = embed(np.random.default_rng(0).normal(size=(n, 5)))
        assert found.shape == (n, 2) and np.isfinite(found).all()

    def test_frames_that_are_all_alike_and_a_single_channel(self):
        assert not embed(np.ones((9, 4))).any()
        assert np.isfinite(embed(np.arange(-4.0, 5)[:, None])).all()

    def inputs(self, videos, frames=4):
        video = np.repeat(np.arange(videos), frames)
        positions = np.random.default_rng(0).normal(size=(len(video), 2))
        return {'A': positions, 'B': -positions}, video, np.arange(len(video)) % frames == frames - 1

    def test_twenty_videos_are_numbered_named_and_of_distinct_colours(self):
        maps, video, held_out = self.inputs(20)
        figure = feature_maps(maps, video, held_out, [f'v{i}' for i in range(20)])
        assert titles(figure) == ['A', 'B']
        names = [t.get_text() for t in figure.legends[0].get_texts()]
        assert names == ['gallery frame', 'held-out frame', *[f'{i + 1}  v{i}' for i in range(20)]]
        for axes in figure.axes:
            assert texts(axes) == [str(i + 1) for i in range(20)]
            gallery, held = axes.collections
            assert (len(gallery.get_offsets()), len(held.get_offsets())) == (60, 20)
            assert len(np.unique(held.get_facecolors(), axis=0)) == 20
        drawn(figure)

    def test_many_videos_are_coloured_by_class_without_numbers(self):
        maps, video, held_out = self.inputs(250)
        classes = [None if i % 5 == 0 else 'ab'[i % 2] for i in range(250)]
        figure = feature_maps(maps, video, held_out, [f'v{i}' for i in range(250)], classes)
        assert [t.get_text() for t in figure.legends[0].get_texts()][2:] == ['a', 'b', 'no label']
        assert not figure.axes[0].texts
        assert len(np.unique(figure.axes[0].collections[0].get_facecolors(), axis=0)) == 3

    @pytest.mark.parametrize('classes', [None, [None] * 250])
    def test_many_videos_without_classes_have_no_list(self, classes):
        maps, video, held_out = self.inputs(250)
        figure = feature_maps(maps, video, held_out, [f'v{i}' for i in range(250)], classes)
        assert len(figure.legends[0].get_texts()) == 2
        assert len(np.unique(figure.axes[0].collections[0].get_facecolors(), axis=0)) > 200  # the ramp has 256
        drawn(figure)


def test_no_global_figure_is_left_behind():
    from matplotlib import pyplot

    drawn(loss_curves(curves('loss')))
    assert not pyplot.get_fignums()
