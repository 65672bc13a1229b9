import numpy as np
import pytest

from uscl.reports.held_out_curves import held_out_curves


def curve(*values, every=5):
    return np.arange(1.0, len(values) + 1) * every, np.array(values, float)


TRAINING = {
    'epoch': (np.array([1.0, 2, 3, 4]), np.array([1.0, 1, 2, 2])),
    'loss': (np.array([1.0, 2, 3, 4]), np.array([9.0, 9, 9, 9])),
    'loss_contrastive': (np.array([1.0, 2, 4]), np.array([4.0, 3, 1])),  # not logged in one step
}


def titles(figure):
    return [axes.get_title(loc='left') for axes in figure.axes]


def test_the_training_loss_by_epoch_comes_first():
    figure = held_out_curves({'auroc': curve(0.6, 0.8), 'contrastive': curve(2, 1.5)}, TRAINING)
    assert titles(figure) == [
        'Contrastive loss, training',
        'Contrastive loss, held out',
        'AUROC, same against different videos',
    ]
    np.testing.assert_array_equal(figure.axes[0].lines[-1].get_xydata(), [[1, 3.5], [2, 1]])
    np.testing.assert_array_equal(figure.axes[1].lines[-1].get_xydata(), [[5, 2], [10, 1.5]])
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    (chance, _) = figure.axes[2].lines
    assert set(chance.get_ydata()) == {0.5}


def test_whatever_was_logged_is_drawn_once():
    held_out = {key: curve(0.1, 0.2) for key in ('knn', 'new_measure', 'effective_rank', 'gap', 'retrieval')}
    figure = held_out_curves(held_out, {})
    assert len(figure.axes) == 5 and titles(figure)[-1] == 'new measure'
    figure.canvas.draw()


@pytest.mark.parametrize('training', [{}, {'loss': TRAINING['loss']}, {'epoch': TRAINING['epoch']}])
def test_without_epochs_there_is_no_training_panel(training):
    assert titles(held_out_curves({'gap': curve(0.1)}, training)) == ['Gap between mean similarities']


def test_a_run_of_another_loss_and_broken_values_can_be_drawn():
    figure = held_out_curves({'auroc': curve(np.nan, 0.7)}, {key: TRAINING[key] for key in ('epoch', 'loss')})
    assert titles(figure)[0] == 'Training loss'
    figure.canvas.draw()


def test_nothing_held_out():
    assert held_out_curves({}, TRAINING) is None
