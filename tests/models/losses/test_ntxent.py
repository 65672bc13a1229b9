"""NT-Xent against the released code's numbers, a slow reference from the equation, and two processes."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmpretrain.registry import MODELS
from torch import distributed as dist

from uscl_plugin.models.losses import LightlyNTXentLoss

GOLDEN = np.load(Path(__file__).parents[2] / 'golden' / 'nt_xent.npz')
SETTINGS = sorted(name.removesuffix('_loss') for name in GOLDEN.files if name.endswith('_loss'))


def build(**settings):
    return MODELS.build(dict(type='LightlyNTXentLoss', **settings))


def by_hand(z1, z2, temperature):
    """Mean over 2N views, each term from single dot products in Python's doubles."""
    views = [*z1.tolist(), *z2.tolist()]
    n = len(z1)

    def cosine(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))

    total = 0.0
    for i in range(2 * n):
        exps = {k: math.exp(cosine(views[i], views[k]) / temperature) for k in range(2 * n) if k != i}
        total -= math.log(exps[(i + n) % (2 * n)] / sum(exps.values()))
    return total / (2 * n)


@pytest.mark.parametrize('setting', SETTINGS)
def test_value_and_gradients_of_the_released_code(setting):
    z1, z2 = (torch.from_numpy(GOLDEN[f'{setting}_z{i}']).requires_grad_() for i in (1, 2))
    loss = build(temperature=float(setting.rsplit('_t', 1)[1]))(z1, z2)
    loss.backward()
    np.testing.assert_allclose(loss.item(), GOLDEN[f'{setting}_loss'], rtol=1e-5)
    for i, leaf in enumerate((z1, z2), 1):
        expected = GOLDEN[f'{setting}_grad{i}']
        np.testing.assert_allclose(leaf.grad, expected, rtol=1e-5, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize('n', [2, 3, 8])
@pytest.mark.parametrize('channels', [1, 5, 32])
@pytest.mark.parametrize('temperature', [0.1, 0.5, 1.0])
def test_against_the_equation(n, channels, temperature):
    torch.manual_seed(n * channels)
    z1, z2 = torch.randn(2, n, channels, dtype=torch.float64)
    loss = build(temperature=temperature)(z1, z2)
    assert loss.item() == pytest.approx(by_hand(z1, z2, temperature), rel=1e-9)


def test_half_precision_is_computed_in_float32():
    z1, z2 = torch.randn(2, 16, 64).bfloat16()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = build(temperature=0.1)(z1, z2)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(by_hand(z1.double(), z2.double(), 0.1), rel=1e-4)


@pytest.mark.parametrize('shapes', [((1, 8), (1, 8)), ((4, 8), (3, 8)), ((4, 8, 1), (4, 8, 1))])
def test_inputs_without_negatives_or_of_other_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match=r'PairBatchSampler|\(N, C\)'):
        build()(*(torch.randn(shape) for shape in shapes))


def _worker(rank, port, z1, z2, results):
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    half = slice(rank * len(z1) // 2, (rank + 1) * len(z1) // 2)
    leaves = [z[half].clone().requires_grad_() for z in (z1, z2)]
    loss = LightlyNTXentLoss()(*leaves)
    loss.backward()
    single = LightlyNTXentLoss()(z1[rank : rank + 1], z2[rank : rank + 1])  # its negatives are on the other rank
    results[rank] = (loss.item(), [leaf.grad.numpy() for leaf in leaves], single.item())
    dist.destroy_process_group()


def test_two_processes_give_the_gradient_of_one_with_the_whole_batch(free_port):
    torch.manual_seed(0)
    z1, z2 = torch.randn(2, 6, 4, dtype=torch.float64)
    whole = [z.clone().requires_grad_() for z in (z1, z2)]
    loss = build()(*whole)
    loss.backward()
    with mp.Manager() as manager:
        results = manager.dict()
        mp.start_processes(_worker, (free_port, z1, z2, results), nprocs=2, start_method='forkserver')
        losses, grads, singles = zip(*(results[rank] for rank in range(2)), strict=True)
    assert np.mean(losses) == pytest.approx(loss.item(), rel=1e-9)
    assert np.mean(singles) == pytest.approx(by_hand(z1[:2], z2[:2], 0.5), rel=1e-9)
    for i, leaf in enumerate(whole):
        # DistributedDataParallel averages over ranks, hence the division
        np.testing.assert_allclose(np.concatenate([g[i] for g in grads]) / 2, leaf.grad.numpy(), rtol=1e-9)
