"""The ramp at many times, and the cross-entropy over whole batches."""

import math

import pytest
import torch
from mmengine.logging import MessageHub

from uscl_plugin.models.baselines.consistency import (
    batch_cross_entropy,
    consistency_weight,
    gaussian_ramp_up,
    training_progress,
)


@pytest.mark.parametrize('epoch', [0, 1, 10, 40, 79, 80, 81, 299, 300])
def test_ramp_of_the_authors_schedule(epoch):
    # 80 of 300 epochs, 4000 labels of 50000, w_max 100
    expected = 100 * 4000 / 50000 * (math.exp(-(((80 - epoch) / 80) ** 2) * 5) if epoch < 80 else 1)
    assert consistency_weight(epoch / 300, 100, 0.08, 80 / 300) == pytest.approx(expected, rel=1e-9)


def test_ends_of_the_ramp():
    assert gaussian_ramp_up(0) == pytest.approx(0.006737947, rel=1e-6)
    assert gaussian_ramp_up(0.5) == pytest.approx(0.286504797, rel=1e-6)
    assert gaussian_ramp_up(-1) == gaussian_ramp_up(0)
    assert gaussian_ramp_up(1) == gaussian_ramp_up(7) == 1
    assert consistency_weight(0.0, 30, 0.5, 0.0) == 15
    values = [consistency_weight(t / 100, 1, 1, 1) for t in range(101)]
    assert values == sorted(set(values))


def test_progress_goes_by_iterations_of_a_training_run_only():
    hub = MessageHub.get_instance('test_progress_goes_by_iterations')
    hub.update_info_dict(dict(iter=30, max_iters=120, epoch=5, max_epochs=6))
    assert training_progress() == 1  # not training
    hub.update_info('loop_stage', 'train')
    assert training_progress() == 0.25
    hub.update_info('iter', 0)
    assert training_progress() == 0
    hub.pop_info('loop_stage')  # as MMEngine does after training
    assert training_progress() == 1


@pytest.mark.parametrize('labels', [[0, 1, 2, 1], [-1, 2, -1, -1], [-1, -1, -1, -1]])
def test_cross_entropy_is_divided_by_the_size_of_the_batch(labels):
    torch.manual_seed(0)
    logits = torch.randn(4, 3, requires_grad=True)
    loss = batch_cross_entropy(logits, torch.tensor(labels))
    expected = 0.0
    for row, label in zip(logits.tolist(), labels, strict=True):
        if label >= 0:
            expected += math.log(sum(math.exp(x - row[label]) for x in row)) / 4
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert logits.grad.any(1).tolist() == [label >= 0 for label in labels]


@pytest.mark.parametrize('name', ['PiModel', 'TemporalEnsembling'])
def test_wrong_settings_and_a_model_that_was_told_nothing(build, samples, name):
    for settings in (dict(w_max=-1), dict(ramp_up=80), dict(ramp_up=-0.1)):
        with pytest.raises(ValueError, match=r'should'):
            build(name, **settings)
    model = build(name)
    views = [torch.randn(2, 3, 32, 32)] * model.num_views
    with pytest.raises(ValueError, match=r'dict\(type=.TrainingSetHook'):
        model.loss(views, samples([0, 1]))
    with pytest.raises(ValueError, match=r'5 training samples .*label_fraction'):
        model.start_training(5, 0)
