import numpy as np
import pytest

from instruments.loss_comparison import final_losses, loss_comparison

STEPS = np.arange(1.0, 21)
CURVES = [(STEPS, 20 - STEPS), (STEPS, 22 - STEPS)]


@pytest.mark.parametrize(('share', 'expected'), [(0.1, [0.5, 2.5]), (1.0, [9.5, 11.5]), (0.001, [0.0, 2.0])])
def test_final_losses_are_means_of_the_last_part(share, expected):
    assert final_losses(CURVES, share).tolist() == expected


def test_figure_shows_means_and_the_range_of_the_first():
    axes = loss_comparison({'plain': CURVES, 'fast': [(STEPS, 5 - STEPS)]}, 'title').axes[0]
    assert [line.get_label() for line in axes.lines] == ['plain', 'fast']
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), 21 - STEPS)
    band = axes.collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in band} >= {(1.0, 19.0), (1.0, 21.0), (20.0, 0.0), (20.0, 2.0)}
    assert len(axes.collections) == 1
