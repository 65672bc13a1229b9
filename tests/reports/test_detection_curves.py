import pytest

from uscl.reports.detection_curves import mean_curve, training_curves
from uscl.reports.detection_runs import DetectionRun


def run(loss, boxes, masks=None):
    measures = {'box AP50': boxes} | ({'mask AP50': masks} if masks else {})
    return DetectionRun('w', loss, measures, None)


def test_mean_over_the_epochs_that_all_runs_have():
    assert mean_curve([{1: 2, 2: 4, 3: 9}, {2: 6, 1: 0}]) == {1: 1, 2: 5}
    assert mean_curve([{1: 2.0}]) == {1: 2} and mean_curve([]) == {} and mean_curve([{1: 1}, {2: 1}]) == {}


def test_runs_are_thin_the_mean_is_strong_and_methods_differ():
    methods = {
        'uscl': [run({1: 4, 2: 2}, {1: 0.2, 2: 0.4}), run({1: 2, 2: 1}, {1: 0.4, 2: 0.6})],
        'scratch': [run({1: 5, 2: 3}, {1: 0.1, 2: 0.2})],
    }
    figure = training_curves(methods)
    assert [axes.get_title(loc='left') for axes in figure.axes] == ['Training loss', 'Box AP50 on the test data, %']
    loss, boxes = figure.axes
    expected = {
        loss: [[4, 2], [2, 1], [3, 1.5], [5, 3], [5, 3]],
        boxes: [[20, 40], [40, 60], [30, 50], [10, 20], [10, 20]],
    }
    for axes, values in expected.items():
        assert [line.get_ydata().tolist() if hasattr(line.get_ydata(), 'tolist') else line.get_ydata()
                for line in axes.lines] == [pytest.approx(v) for v in values]  # fmt: skip
        colours = [line.get_color() for line in axes.lines]
        assert colours[0] == colours[1] == colours[2] != colours[3] == colours[4]
        widths = [line.get_linewidth() for line in axes.lines]
        assert widths[2] == widths[4] > 2 * widths[0]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ['uscl, 2 runs', 'scratch, 1 run']
    figure.canvas.draw()


def test_panels_follow_what_was_logged():
    both = {'mask': [run({}, {1: 0.2}, {1: 0.1})], 'faster': [run({}, {1: 0.3})]}
    figure = training_curves(both)
    assert len(figure.axes) == 3
    assert figure.axes[0].texts[0].get_text() == 'not logged'
    assert [text.get_text() for text in figure.axes[2].get_legend().get_texts()] == ['mask, 1 run']
    assert figure.axes[1].lines[0].get_marker() == 'o'  # a single epoch is seen
