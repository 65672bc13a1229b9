"""The head against the released code's numbers, a slow reference, and two processes of which one has labels."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import distributed as dist

from uscl_plugin.models.heads import labelled_cross_entropy

LOSS = dict(type='LightlyNTXentLoss', temperature=0.5)


def build(**settings):
    return MODELS.build(dict(type='USCLHead', loss_contrastive=LOSS, **settings))


def samples(labels):
    return [
        DataSample(metainfo=dict(video_id=f'v{i}')).set_gt_label(label)
        if label is not None
        else DataSample(metainfo=dict(video_id=f'v{i}'))
        for i, label in enumerate(labels)
    ]


def cross_entropy_by_hand(logits, labels):
    terms = [
        math.log(sum(math.exp(x - row[label]) for x in row))
        for row, label in zip(logits.tolist(), labels, strict=True)
        if label >= 0
    ]
    return sum(terms) / len(terms) if terms else 0.0


def test_objective_of_the_released_code():
    golden = np.load(Path(__file__).parents[2] / 'golden' / 'objective.npz')
    tensors = {name: torch.from_numpy(golden[name]) for name in golden.files if golden[name].ndim}
    neck = MODELS.build(
        dict(type='MoCoV2Neck', in_channels=512, hid_channels=512, out_channels=256, with_avg_pool=False)
    )
    head = build(num_classes=2, in_channels=256, cls_input='projection', cls_weight=0.2)
    neck.load_state_dict(
        {
            f'mlp.{i}.{kind}': tensors[f'{name}_{kind[0]}']
            for i, name in ((0, 'l1'), (2, 'l2'))
            for kind in ('weight', 'bias')
        }
    )
    head.load_state_dict({f'classifier.{kind}': tensors[f'fc_{kind[0]}'] for kind in ('weight', 'bias')})
    labels = [-1 if label == 9999 else label for label in tensors['y'].tolist()]  # 9999 is that code's "no label"

    representation = torch.cat([tensors['h1'], tensors['h2']])
    losses = head.loss(representation, neck((representation,))[0], samples(labels))
    np.testing.assert_allclose(losses['loss_contrastive'].item(), golden['contrastive'], rtol=1e-5)
    np.testing.assert_allclose(losses['loss_cls'].item(), 0.2 * (golden['ce1'] + golden['ce2']), rtol=1e-5)
    total = losses['loss_contrastive'] + losses['loss_cls']
    np.testing.assert_allclose(total.item(), golden['total'], rtol=1e-5)


@pytest.mark.parametrize('labels', [[0, 1, 2], [0, -1, 2], [-1, -1, 1], [-1, -1, -1], [None, 1, None]])
@pytest.mark.parametrize('cls_input', ['representation', 'projection'])
@pytest.mark.parametrize('weight', [0.2, 1.0, 0.0])
def test_weighted_sum_of_both_views_over_the_labelled(labels, cls_input, weight):
    torch.manual_seed(0)
    head = build(
        num_classes=3, in_channels=5 if cls_input == 'representation' else 4, cls_input=cls_input, cls_weight=weight
    )
    h, z = torch.randn(6, 5), torch.randn(6, 4)
    losses = head.loss(h, z, samples(labels))
    logits = head.classifier(h if cls_input == 'representation' else z)
    numbers = [-1 if label is None else label for label in labels]
    expected = weight * sum(cross_entropy_by_hand(view, numbers) for view in logits.chunk(2))
    assert losses['loss_cls'].item() == pytest.approx(expected, rel=1e-5, abs=1e-7)
    hits = [
        int(row.argmax()) == label
        for view in logits.chunk(2)
        for row, label in zip(view, numbers, strict=True)
        if label >= 0
    ]
    if hits and weight:  # at 0 the classifier is not trained
        assert losses['accuracy'].item() == pytest.approx(100 * sum(hits) / len(hits))
    else:
        assert 'accuracy' not in losses


def test_without_labels_the_loss_is_an_exact_zero_with_a_graph():
    head = build(num_classes=3, in_channels=5)
    h = torch.randn(6, 5, requires_grad=True)
    loss = head.loss(h, torch.randn(6, 4), samples([-1, -1, None]))['loss_cls']
    assert loss.item() == 0
    loss.backward()
    for gradient in (h.grad, head.classifier.weight.grad, head.classifier.bias.grad):
        assert gradient.abs().max() == 0


@pytest.mark.parametrize('label', [3, 12, -2])
def test_a_label_outside_num_classes_names_video_and_remedy(label):
    head = build(num_classes=3, in_channels=5)
    with pytest.raises(ValueError, match=rf"video 'v1' .*{label}, .*model.head.num_classes"):
        head.loss(torch.randn(4, 5), torch.randn(4, 4), samples([0, label]))


@pytest.mark.parametrize('settings', [dict(num_classes=0), dict(cls_weight=-1), dict(cls_input='features')])
def test_wrong_settings(settings):
    with pytest.raises(ValueError, match='should'):
        build(**(dict(num_classes=2, in_channels=5) | settings))


CASES = [[0, -1, 1, 2], [0, 2, -1, -1], [-1, -1, -1, -1]]  # labels of two processes with two samples each


def _worker(rank, port, logits, results):
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    half = slice(rank * len(logits) // 2, (rank + 1) * len(logits) // 2)
    found = []
    for labels in CASES:
        leaf = logits[half].clone().requires_grad_()
        loss = labelled_cross_entropy(leaf, torch.tensor(labels[half]))
        loss.backward()
        found.append((loss.item(), leaf.grad.numpy()))
    results[rank] = found
    dist.destroy_process_group()


def test_mean_over_the_labelled_of_both_processes(free_port):
    torch.manual_seed(0)
    logits = torch.randn(4, 3, dtype=torch.float64)
    with mp.Manager() as manager:
        results = manager.dict()
        mp.start_processes(_worker, (free_port, logits, results), nprocs=2, start_method='forkserver')
        found = [results[rank] for rank in range(2)]
    for labels, *ranks in zip(CASES, *found, strict=True):
        whole = logits.clone().requires_grad_()
        expected = labelled_cross_entropy(whole, torch.tensor(labels))
        expected.backward()
        losses, grads = zip(*ranks, strict=True)
        assert sum(losses) / 2 == pytest.approx(expected.item(), rel=1e-9)
        # DistributedDataParallel averages over ranks, hence the divisions
        np.testing.assert_allclose(np.concatenate(grads) / 2, whole.grad.numpy(), rtol=1e-9)
