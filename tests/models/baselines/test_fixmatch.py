import math

import pytest
import torch

from uscl_plugin.models.baselines.fixmatch import pseudo_label_loss


def by_hand(weak, strong, threshold):
    total, mask = 0.0, []
    for row, other in zip(weak.tolist(), strong.tolist(), strict=True):
        probabilities = [math.exp(x) / sum(math.exp(y) for y in row) for x in row]
        mask.append(max(probabilities) >= threshold)
        if mask[-1]:
            label = probabilities.index(max(probabilities))
            total += math.log(sum(math.exp(x) for x in other)) - other[label]
    return total / len(mask), mask


@pytest.mark.parametrize('n', [1, 8])
@pytest.mark.parametrize('classes', [2, 5])
@pytest.mark.parametrize('threshold', [0.0, 0.5, 0.7, 0.95, 1.0])
def test_mask_and_denominator(n, classes, threshold):
    torch.manual_seed(n + classes)
    weak, strong = 2 * torch.randn(2, n, classes, dtype=torch.float64)
    loss, mask = pseudo_label_loss(weak, strong, threshold)
    expected, expected_mask = by_hand(weak, strong, threshold)
    assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert mask.tolist() == expected_mask
    if threshold == 1:
        assert loss == 0


def test_a_probability_equal_to_the_threshold_counts():
    _, mask = pseudo_label_loss(torch.zeros(3, 2), torch.zeros(3, 2), 0.5)
    assert mask.all()


def test_no_gradient_through_the_weak_view_nor_where_it_is_not_confident():
    weak = torch.tensor([[4.0, 0, 0], [0.5, 0, 0], [0, 9, 0]], requires_grad=True)
    strong = torch.randn(3, 3, requires_grad=True)
    loss, _ = pseudo_label_loss(weak, strong, 0.95)
    loss.backward()
    assert weak.grad is None
    assert strong.grad.any(1).tolist() == [True, False, True]


def test_labelled_mean_of_the_weak_view_and_all_images_as_unlabelled(on_logits, samples):
    torch.manual_seed(0)
    views = 3 * torch.randn(2, 6, 3)
    model = on_logits('FixMatch', threshold=0.8, unlabelled_weight=0.5)
    losses = model.loss(views, samples([0, 2, -1, None, -1, -1]))
    unlabelled, mask = by_hand(*views, 0.8)
    assert 0 < sum(mask) < 6
    assert losses['loss_unlabelled'].item() == pytest.approx(0.5 * unlabelled, rel=1e-5)
    assert losses['mask_share'].item() == pytest.approx(sum(mask) / 6)
    log_p = views[0].log_softmax(1)
    assert losses['loss_cls'].item() == pytest.approx(-(log_p[0, 0] + log_p[1, 2]).item() / 2, rel=1e-5)
    relabelled = model.loss(views, samples([1, 1, -1, 0, -1, -1]))
    assert relabelled['loss_unlabelled'] == losses['loss_unlabelled']  # labels play no part in it
    total, _ = model.parse_losses(losses)
    assert total == losses['loss_cls'] + losses['loss_unlabelled']  # the share is logged only


@pytest.mark.parametrize('settings', [dict(threshold=95), dict(threshold=-0.1), dict(unlabelled_weight=-1)])
def test_wrong_settings(build, settings):
    with pytest.raises(ValueError, match=r'should'):
        build('FixMatch', **settings)


def test_a_run_with_randaugment(run_baseline):
    from mmengine.runner import Runner

    flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
    strong = dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
    )
    runner = Runner.from_cfg(run_baseline('FixMatch', [[flip], [flip, strong]], epochs=1))
    runner.train()
    scalars = runner.message_hub.log_scalars
    assert all(math.isfinite(value) for value in scalars['train/loss'].data[0])
    assert all(0 <= value <= 1 for value in scalars['train/mask_share'].data[0])
