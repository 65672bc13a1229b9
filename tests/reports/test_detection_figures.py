import numpy as np
import pytest

import uscl_plugin.compat.mmcv_ops  # noqa: F401
from uscl.reports.detection_figures import detection_curves

RECALLS = np.arange(101) / 100


@pytest.mark.parametrize('names', [['box'], ['box', 'mask']])
def test_the_lines_are_the_curves(names):
    precision = {name: (RECALLS, 1.0 * (np.arange(101) < 50 + 10 * k)) for k, name in enumerate(names)}
    froc = {name: (np.array([0, 0.5, 2]), np.array([0.1, 0.4, 0.6 + k / 10])) for k, name in enumerate(names)}
    figure = detection_curves(precision, froc)
    left, right = figure.axes
    for axes, curves in ((left, precision), (right, froc)):
        assert len(axes.lines) == len(names)
        for line, name in zip(axes.lines, names, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), curves[name][0])
            np.testing.assert_array_equal(line.get_ydata(), curves[name][1])
    assert right.lines[0].get_drawstyle() == 'steps-post'  # between two thresholds nothing more is found
    texts = [text.get_text() for text in left.get_legend().get_texts()]
    assert texts == ['box, AP50 49.5 %', 'mask, AP50 59.4 %'][: len(names)]
    assert right.get_xlim()[1] == 2


@pytest.mark.parametrize('last, limit', [(0.2, 1), (3, 3), (80, 5)])
def test_the_range_of_false_positives(last, limit):
    curve = (np.array([0, last]), np.array([0, 1]))
    assert detection_curves({'box': (RECALLS, RECALLS)}, {'box': curve}).axes[1].get_xlim()[1] == limit


def test_without_lesions_the_panels_say_so():
    figure = detection_curves({}, {})
    assert ['not defined' in axes.texts[0].get_text() for axes in figure.axes] == [True, True]
    figure.canvas.draw()
