import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from uscl.reports import embedding_map
from uscl.reports.embedding_map import Layout, check_method, embedding_figure, lay_out, list_frames
from uscl.reports.feature_map import embed

RNG = np.random.default_rng(0)


def test_pca_is_that_of_the_singular_values():
    features = RNG.normal(size=(40, 7)) * np.array([9, 5, 1, 1, 1, 1, 1]) * RNG.uniform(1, 9, (40, 1))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    u, s, _ = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    found = lay_out(features, 'pca')
    np.testing.assert_allclose(np.abs(found.positions), np.abs(u * s)[:, :2], atol=1e-9)
    shares = s**2 / (s**2).sum()
    assert found.axes == (
        f'component 1: {100 * shares[0]:.1f}% of the variance',
        f'component 2: {100 * shares[1]:.1f}% of the variance',
    )


def test_pca_of_equal_features_explains_nothing():
    found = lay_out(np.ones((3, 5)), 'pca')
    assert not found.positions.any() and found.axes[0] == 'component 1: 0.0% of the variance'


def test_tsne_is_that_of_the_report():
    features = RNG.normal(size=(12, 5))
    found = lay_out(features, 'tsne', 3)
    np.testing.assert_array_equal(found.positions, embed(features, 3))
    assert found.axes == ('', '')


def test_umap_is_used_where_it_is_installed(monkeypatch):
    class UMAP:
        def __init__(self, **settings):
            self.settings = settings

        def fit_transform(self, unit):
            np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1)
            return unit[:, :2] + self.settings['random_state']

    monkeypatch.setattr(embedding_map, 'find_spec', lambda name: name)
    monkeypatch.setitem(sys.modules, 'umap', type(sys)('umap'))
    sys.modules['umap'].UMAP = UMAP
    found = lay_out(np.array([[3.0, 4.0], [0.0, 2.0]]), 'umap', 10)
    np.testing.assert_allclose(found.positions, [[10.6, 10.8], [10, 11]])


def test_what_cannot_be_laid_out(monkeypatch):
    monkeypatch.setattr(embedding_map, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match=r'UMAP is not installed: pip install umap-learn'):
        check_method('umap')
    with pytest.raises(ValueError, match=r"one of tsne, pca, umap, got 'mds'"):
        lay_out(np.ones((5, 2)), 'mds')
    with pytest.raises(ValueError, match=r'at least two frames, got 1'):
        lay_out(np.ones((1, 2)), 'pca')


class TestFrames:
    def test_every_frame_has_its_group(self, clusters):
        paths, classes = list_frames(clusters, 'class')
        assert len(paths) == len(classes) == 5 + 6 + 7 + 8 + 2 + 1 + 4
        videos, patients = (list_frames(clusters, kind)[1] for kind in ('video', 'patient'))
        for path, label, video, patient in zip(paths, classes, videos, patients, strict=True):
            assert path.startswith(f'{video}#')
            assert label == (None if video == 'none/v' else video[0])
            assert patient == (f'p{video[-1]}' if video[:3] in ('a/v', 'b/v') else None)

    def test_few_of_each_video_are_spread_over_it(self, clusters):
        paths, videos = list_frames(clusters, 'video', 3)
        numbers = {}
        for path, video in zip(paths, videos, strict=True):
            numbers.setdefault(video, []).append(int(path[-6:]))
        assert numbers['a/v0'] == [0, 2, 4] and numbers['a/v2'] == [0, 3, 6]
        assert numbers['a/two'] == [0, 1] and numbers['b/one'] == [0]

    def test_splits(self, tmp_path, make_clusters):
        make_clusters(tmp_path, {'x': (2, 'a')}, split='val')
        assert len(list_frames(tmp_path, 'class', split='val')[0]) == 2
        with pytest.raises(ValueError, match=r"no video of split 'train', only \['val'\]"):
            list_frames(tmp_path, 'class', split='train')
        with pytest.raises(FileNotFoundError, match=r'annotations\.json does not exist'):
            list_frames(tmp_path / 'nowhere', 'class')


class TestFigure:
    def colours(self, axes, positions):
        """Colour at each position, whatever the order in which points are drawn."""
        (points,) = axes.collections
        found = {tuple(p): tuple(c[:3]) for p, c in zip(points.get_offsets(), points.get_facecolors(), strict=True)}
        return [found[tuple(position)] for position in positions]

    def test_groups_have_their_colours_in_every_panel(self):
        groups = ['p10', 'p9', None, 'p9', 'p10', 'p9']
        maps = {'A': Layout(RNG.normal(size=(6, 2)), ('x', 'y')), 'B': Layout(RNG.normal(size=(6, 2)))}
        figure = embedding_figure(maps, groups, 'patient')
        legend = figure.legends[0]
        assert [t.get_text() for t in legend.get_texts()] == ['p9 (3)', 'p10 (2)', 'no patient (1)']
        nine, ten, unknown = (to_rgba(handle.get_color())[:3] for handle in legend.legend_handles)
        assert len({nine, ten, unknown}) == 3
        for axes, (name, layout) in zip(figure.axes, maps.items(), strict=True):
            assert axes.get_title(loc='left') == name
            assert (axes.get_xlabel(), axes.get_ylabel()) == layout.axes
            assert self.colours(axes, layout.positions) == [ten, nine, unknown, nine, ten, nine]
        figure.canvas.draw()

    def test_many_groups_have_a_ramp_and_no_list(self):
        groups = [f'v{k // 2}' for k in range(60)] + [None]
        figure = embedding_figure({'A': Layout(RNG.normal(size=(61, 2)))}, groups, 'video')
        texts = [t.get_text() for t in figure.legends[0].get_texts()]
        assert texts == ['30 videos, one colour each', 'no video']
        assert len(np.unique(figure.axes[0].collections[0].get_facecolors(), axis=0)) == 31
