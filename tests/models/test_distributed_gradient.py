"""The gradient of USCL on two processes, as DistributedDataParallel averages it, against one with the whole batch."""

import socket

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.dataset import DefaultSampler
from mmengine.model import MMDistributedDataParallel
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import distributed as dist

from uscl_plugin.datasets.pair_batch_sampler import PairBatchSampler

NUM_VIDEOS = 9
CASES = {  # labels of the nine videos; even ones go to rank 0, odd ones to rank 1, as MMEngine's sampler gives them out
    'both ranks': [0, 1, 2, -1, 1, 0, -1, -1, 2],
    'rank 1 alone': [-1, 2, -1, 1, -1, 0, -1, -1, -1],
    'none': [-1] * NUM_VIDEOS,
}


def build_model():
    """A narrow ResNet-18 in float64 whose batch norms normalise by fixed statistics, and not by those of a rank."""
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='USCL',
            backbone=dict(type='ResNet', depth=18, stem_channels=16, base_channels=16, norm_eval=True),
            neck=dict(type='MoCoV2Neck', in_channels=128, hid_channels=32, out_channels=16, with_avg_pool=True),
            head=dict(type='USCLHead', num_classes=3, in_channels=128, loss_contrastive=dict(type='LightlyNTXentLoss')),
        )
    )
    model.init_weights()
    return model.double().train()


def gradients(model, indices, labels):
    """Gradient of every parameter from one step on these videos."""
    views = torch.randn(2, NUM_VIDEOS, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    samples = [DataSample().set_gt_label(labels[i]) for i in indices]
    model.zero_grad()
    losses = model([view[indices] for view in views], samples, mode='loss')
    (losses['loss_contrastive'] + losses['loss_cls']).backward()
    return {name.removeprefix('module.'): parameter.grad.numpy().copy() for name, parameter in model.named_parameters()}


def _worker(rank, port, results):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    model = MMDistributedDataParallel(build_model(), device_ids=None, broadcast_buffers=False)
    batches = list(PairBatchSampler(DefaultSampler(range(NUM_VIDEOS), shuffle=False), 2))
    found = {case: [gradients(model, batch, labels) for batch in batches] for case, labels in CASES.items()}
    results[rank] = (batches, found)
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def two_processes():
    """What each of two ranks found: its batches, and gradients by case and step."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]
    with mp.Manager() as manager:
        results = manager.dict()
        mp.start_processes(_worker, (port, results), nprocs=2, start_method='forkserver')
        return [results[rank] for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize('case', CASES)
def test_gradient_of_two_ranks_is_that_of_the_whole_batch(two_processes, case):
    batches = [batches for batches, _ in two_processes]
    assert batches == [[[0, 2], [4, 6]], [[1, 3], [5, 7]]]  # the ninth video would be alone, twice
    model = build_model()
    for step, (mine, theirs) in enumerate(zip(*batches, strict=True)):
        whole = gradients(model, [*mine, *theirs], CASES[case])
        for _, found in two_processes:  # both ranks hold the average
            for name, expected in whole.items():
                np.testing.assert_allclose(
                    found[case][step][name], expected, rtol=1e-5, atol=1e-5 * abs(expected).max(), err_msg=name
                )
    has_labels = any(abs(gradient).max() > 0 for name, gradient in whole.items() if 'classifier' in name)
    assert has_labels == (case != 'none')
