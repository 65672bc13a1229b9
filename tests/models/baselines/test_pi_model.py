import math

import pytest
import torch

from uscl_plugin.models.baselines.pi_model import view_consistency


def softmax(row):
    exps = [math.exp(x) for x in row]
    return [x / sum(exps) for x in exps]


def by_hand(logits1, logits2):
    """1/(C|B|) Σ_i ‖z_i - z̃_i‖² in Python's doubles."""
    terms = [
        (a - b) ** 2
        for row1, row2 in zip(logits1.tolist(), logits2.tolist(), strict=True)
        for a, b in zip(softmax(row1), softmax(row2), strict=True)
    ]
    return sum(terms) / len(terms)


@pytest.mark.parametrize('n', [1, 4])
@pytest.mark.parametrize('classes', [2, 5])
def test_against_the_equation(n, classes):
    torch.manual_seed(n + classes)
    first, second = torch.randn(2, n, classes, dtype=torch.float64)
    assert view_consistency(first, second).item() == pytest.approx(by_hand(first, second), rel=1e-9)
    assert view_consistency(first, first + 3).item() == pytest.approx(0, abs=1e-20)  # softmax is the same


def test_both_views_get_a_gradient():
    logits = torch.randn(2, 3, 4, requires_grad=True)
    view_consistency(*logits).backward()
    assert logits.grad.abs().amax((1, 2)).min() > 0


def test_weight_and_denominators_of_the_model(on_logits, samples):
    torch.manual_seed(0)
    model = on_logits('PiModel', w_max=50.0)
    model.start_training(num_samples=200, num_labelled=10)
    views = torch.randn(2, 4, 3)
    losses = model.loss(views, samples([2, -1, None, 0]))  # outside of a run the ramp is over
    assert losses['consistency_weight'].item() == pytest.approx(50 * 10 / 200)
    assert losses['loss_consistency'].item() == pytest.approx(2.5 * by_hand(*views), rel=1e-5)
    expected = -(math.log(softmax(views[0, 0].tolist())[2]) + math.log(softmax(views[0, 3].tolist())[0])) / 4
    assert losses['loss_cls'].item() == pytest.approx(expected, rel=1e-5)
    assert model.loss([views[0], views[0]], samples([-1] * 4))['loss_consistency'] == 0


def test_a_run_with_validation(run_baseline):
    from mmengine.runner import Runner

    flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
    cfg = run_baseline('PiModel', [[flip], [flip]])
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.model.labelled_share == 29 / 33
    scalars = runner.message_hub.log_scalars
    weights = scalars['train/consistency_weight'].data[0].tolist()
    assert len(weights) == 8  # 2 epochs of 4 batches
    expected = [100 * 29 / 33 * math.exp(-5 * (1 - min(i / 8 * 300 / 80, 1)) ** 2) for i in range(8)]
    assert weights == pytest.approx(expected, rel=1e-5)
    assert 0 <= scalars['val/accuracy/top1'].data[0][-1] <= 100
