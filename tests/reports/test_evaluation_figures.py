import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from uscl.reports.evaluation_figures import confusion_matrices, forest_plot, roc_curves
from uscl.stats.evaluation_summary import summarise
from uscl.stats.predictions import Predictions

CLASSES = ['a', 'b', 'c']


def make(seed, strength=1.0, n=40, present=3):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % present
    scores = np.exp(rng.normal(size=(n, 3)) + strength * np.eye(3)[labels])
    names = np.array([f'{k:02d}' for k in range(n)])
    return Predictions(scores / scores.sum(axis=1, keepdims=True), labels, names, names, names)


def draw(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


class TestConfusionMatrices:
    def test_rows_are_shares_of_the_true_class_with_counts(self):
        counts = np.array([[6, 2, 0], [0, 1000, 3000], [0, 0, 0]])
        axes = confusion_matrices({'m': counts}, CLASSES).axes[0]
        assert [text.get_text() for text in axes.texts] == [
            *('75 %\n6', '25 %\n2', '0 %\n0', '0 %\n0', '25 %\n1,000', '75 %\n3,000', '0', '0', '0')
        ]
        np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 0.25, 0.75], [0, 0, 0]])
        assert [tick.get_text() for tick in axes.get_yticklabels()] == CLASSES
        assert axes.get_ylabel() == 'True' and axes.get_xlabel() == 'Predicted'

    def test_a_panel_a_method(self):
        figure = confusion_matrices({f'm{k}': np.eye(3) for k in range(4)}, CLASSES)
        assert [axes.get_title(loc='left') for axes in figure.axes] == ['m0', 'm1', 'm2', 'm3']
        assert draw(figure).std() > 0


class TestRocCurves:
    @pytest.mark.parametrize('seeds', [1, 3])
    def test_the_legend_and_the_area_under_the_line_are_the_mean_auroc(self, seeds):
        runs = [make(seed) for seed in range(seeds)]
        figure = roc_curves({'m': runs}, CLASSES)
        assert len(figure.axes) == 3
        for k, axes in enumerate(figure.axes):
            expected = np.mean([roc_auc_score(run.labels == k, run.probabilities[:, k]) for run in runs])
            line = axes.lines[-1]
            assert line.get_label() == f'm, AUROC {100 * expected:.1f} %'
            x, y = line.get_data()
            assert np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) == pytest.approx(expected, abs=0.002)
            assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1) and (np.diff(y) >= 0).all()
            assert len(axes.lines) == 1 + 1 + (seeds if seeds > 1 else 0)
        assert draw(figure).std() > 0

    def test_methods_differ_in_colour_and_line(self):
        axes = roc_curves({'m': [make(0)], 'n': [make(1)]}, CLASSES).axes[0]
        assert len({line.get_color() for line in axes.lines[1:]}) == 2
        assert len({str(line.get_linestyle()) for line in axes.lines[1:]}) == 2

    def test_a_class_that_does_not_occur_is_undefined(self):
        axes = roc_curves({'m': [make(0, present=2)]}, CLASSES).axes
        assert axes[2].get_legend() is None and axes[2].texts[0].get_text() == 'undefined'
        assert axes[0].get_legend() is not None


class TestForestPlot:
    @pytest.fixture(scope='class')
    def summary(self):
        runs = {
            method: {name: {seed: make(seed + shift, s) for seed in (0, 1, 2)} for name, shift in selections}
            for method, s, selections in (
                ('m', 0.0, (('best-on-test', 0), ('last', 7))),
                ('n', 2.0, (('last', 9),)),
            )
        }
        return summarise(runs, CLASSES, resamples=50)

    @pytest.mark.parametrize('level', ['frame', 'video'])
    def test_means_intervals_and_seeds_are_where_the_numbers_say(self, summary, level):
        axes = forest_plot(summary, level).axes[1]
        assert axes.get_title(loc='left') == 'Balanced accuracy'
        results = summary['levels'][level]['results']
        expected = [results[m][s]['metrics']['balanced_accuracy'] for s, m in (('best-on-test', 'm'), *LAST)]
        bars = [line.get_xdata() for line in axes.lines[1:]]
        np.testing.assert_allclose(bars, [[100 * e['low'], 100 * e['high']] for e in expected])
        rings, diamonds = axes.collections[0::2], axes.collections[1::2]
        for ring, diamond, estimate in zip(rings, diamonds, expected, strict=True):
            np.testing.assert_allclose(ring.get_offsets()[:, 0], [100 * v for v in estimate['by_seed'].values()])
            assert diamond.get_offsets()[0, 0] == pytest.approx(100 * estimate['mean'])
        assert axes.lines[0].get_xdata()[0] == pytest.approx(100 / 3)  # chance

    def test_rows_are_named_once_and_grouped_by_selection(self, summary):
        axes = forest_plot(summary, 'video').axes
        assert [tick.get_text() for tick in axes[0].get_yticklabels()] == ['m', 'm', 'n']
        assert [text.get_text() for text in axes[0].texts] == ['best-on-test (optimistic)', 'last']
        heights = axes[0].get_yticks()
        assert (np.diff(heights) > 0).all()

    def test_undefined_measures_are_left_out(self):
        run = make(0, present=1)
        figure = forest_plot(summarise({'m': {'last': {0: run}}}, CLASSES, resamples=5), 'video')
        assert len(figure.axes[3].collections) == 0 and len(figure.axes[0].collections) == 2
        draw(figure)


LAST = (('last', 'm'), ('last', 'n'))
