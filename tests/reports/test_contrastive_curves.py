import numpy as np
import pytest

from uscl.reports.contrastive_curves import contrastive_curves, largest_conflict
from uscl.reports.html_page import render

TITLES = ['Similarity of projections', 'Spread of the representation', 'Similarity conflict']


def curves(n=5, conflict=0.0):
    names = ('positive_similarity', 'negative_similarity', 'spread', 'loss')
    found = {name: (np.arange(1.0, n + 1), np.linspace(0.1, 0.9, n)) for name in names}
    return found | {'similarity_conflict': (np.arange(1.0, n + 1), np.full(n, conflict))}


def test_a_panel_for_each_measure_and_both_similarities_in_one():
    figure = contrastive_curves(curves())
    assert [axes.get_title(loc='left') for axes in figure.axes] == TITLES
    first, second = figure.axes[0].lines
    assert [text.get_text() for text in figure.axes[0].get_legend().texts] == ['positive pairs', 'negative pairs']
    np.testing.assert_array_equal(first.get_ydata(), np.linspace(0.1, 0.9, 5))
    assert first.get_color() != second.get_color()
    figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 0


def test_spread_and_conflict_are_read_against_zero():
    for axes in contrastive_curves(curves()).axes[1:]:
        low, high = axes.get_ylim()
        assert low < 0 < max(axes.lines[0].get_ydata()) + 1e-9 < high


@pytest.mark.parametrize('missing', ['similarity_conflict', 'positive_similarity'])
def test_what_the_log_lacks_is_left_out(missing):
    found = curves()
    del found[missing]
    figure = contrastive_curves(found)
    assert [len(axes.lines) for axes in figure.axes] == ([2, 1] if missing.startswith('s') else [1, 1, 1])


def test_one_point_many_points_and_broken_values_can_be_drawn():
    contrastive_curves(curves(1)).canvas.draw()
    assert [len(axes.lines) for axes in contrastive_curves(curves(200)).axes] == [4, 2, 2]
    broken = {'spread': (np.arange(3.0), np.full(3, np.nan))}
    contrastive_curves(broken).canvas.draw()


def test_the_page_says_what_to_look_for():
    def text(found):
        drawn = {'pairs': contrastive_curves(found), 'conflict': largest_conflict(found)}
        return render('contrastive_curves.html', curves=drawn)

    assert 'collapse' in text(curves()) and '0 in every logged step' in text(curves())
    assert 'here up to 2.5 % of the negative pairs' in text(curves(conflict=0.025))
    assert 'up to 100 %' in text(curves(conflict=1.0))
    assert contrastive_curves({'loss': curves()['loss']}) is None and contrastive_curves({}) is None
    found = curves()
    del found['similarity_conflict']
    assert largest_conflict(found) is None and 'must be 0' not in text(found)
