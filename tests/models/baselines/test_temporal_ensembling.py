"""The ensemble against slow references: alone, over a run, after a resume, and over two processes."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.hooks import Hook
from mmpretrain.structures import DataSample
from torch import distributed as dist

from uscl_plugin.models.baselines.temporal_ensembling import ensemble_targets, target_consistency, update_ensemble


def targets_by_hand(history, alpha):
    """Target of one sample from its predictions in the epochs so far: weights (1-α)α^age over their sum."""
    weights = [(1 - alpha) * alpha ** (len(history) - 1 - k) for k in range(len(history))]
    return sum(w * p for w, p in zip(weights, history, strict=True)) / sum(weights)


@pytest.mark.parametrize('alpha', [0.0, 0.6, 0.99])
def test_bias_corrected_average_over_epochs_in_changing_order(on_logits, samples, alpha):
    generator = torch.Generator().manual_seed(0)
    shuffle = random.Random(0).shuffle
    model = on_logits('TemporalEnsembling', alpha=alpha, w_max=12.0)
    model.start_training(num_samples=7, num_labelled=7)
    history = {index: [] for index in range(7)}
    for epoch in range(5):
        order = list(range(7))
        shuffle(order)
        if epoch == 2:
            order.remove(4)  # in a batch that was left out
        new = {}
        for start in range(0, len(order), 3):
            batch = order[start : start + 3]
            logits = torch.randn(len(batch), 3, generator=generator)
            loss = model.loss([logits], samples([-1] * len(batch), batch))['loss_consistency']
            terms = []
            for index, p in zip(batch, logits.double().softmax(1), strict=True):
                new[index] = p
                past = history[index]
                terms.append(((p - targets_by_hand(past, alpha)) ** 2).mean().item() if past else 0.0)
            assert loss.item() == pytest.approx(12 * sum(terms) / len(batch), rel=1e-4, abs=1e-9)
            assert (loss == 0) == (epoch == 0)
        model.end_epoch()
        for index, p in new.items():  # they count from the next epoch on
            history[index].append(p)
    assert model.ensemble_counts.tolist() == [5, 5, 5, 5, 4, 5, 5]


def test_alpha_0_compares_with_the_epoch_before(on_logits, samples):
    torch.manual_seed(0)
    model = on_logits('TemporalEnsembling', alpha=0.0, w_max=1.0)
    model.start_training(4, 4)
    logits = torch.randn(3, 4, 3)
    for epoch in range(3):
        loss = model.loss([logits[epoch]], samples([-1] * 4))['loss_consistency']
        expected = ((logits[epoch].softmax(1) - logits[epoch - 1].softmax(1)) ** 2).mean() if epoch else 0
        assert loss.item() == pytest.approx(float(expected), rel=1e-5)
        model.end_epoch()


def test_targets_are_probabilities_without_gradient_and_the_repeated_count_with_their_mean():
    torch.manual_seed(0)
    ensemble, counts = torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64)
    first, second = torch.randn(2, 4).softmax(1)
    sums = torch.stack([first + second, first, torch.zeros(4)])
    update_ensemble(ensemble, counts, sums, torch.tensor([2, 1, 0]), 0.6)
    targets = ensemble_targets(ensemble, counts, 0.6)
    torch.testing.assert_close(targets, torch.stack([(first + second) / 2, first, torch.zeros(4)]))
    assert counts.tolist() == [1, 1, 0]

    probabilities = torch.randn(3, 4).softmax(1).requires_grad_()
    targets.requires_grad_()
    target_consistency(probabilities, targets, counts).backward()
    assert targets.grad is None
    assert probabilities.grad.any(1).tolist() == [True, True, False]


def test_predictions_count_in_training_only_and_the_ensemble_is_in_the_checkpoint(on_logits, samples):
    model = on_logits('TemporalEnsembling')
    model.start_training(5, 2)
    logits = torch.randn(3, 3)
    model.eval()
    model.loss([logits], samples([0] * 3))
    model.train()
    model.loss([logits], samples([0] * 3, [4, 0, 2]))
    model.end_epoch()
    assert model.ensemble_counts.tolist() == [1, 0, 1, 0, 1]

    other = on_logits('TemporalEnsembling')
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.ensemble, model.ensemble) and other.ensemble.any()
    other.start_training(5, 2, epoch=1)
    losses = [m.loss([logits.flip(0)], samples([0] * 3))['loss_consistency'] for m in (model, other)]
    assert losses[0] == losses[1] > 0
    for num_samples, epoch in ((6, 1), (5, 2)):
        with pytest.raises(ValueError, match=r'1 epochs with 5 samples'):
            other.start_training(num_samples, 2, epoch)
    other.start_training(6, 2)  # a new run from its weights
    assert other.ensemble.shape == (6, 3) and not other.ensemble.any() and not other.ensemble_counts.any()


def test_wrong_indices_and_settings(on_logits, build):
    model = on_logits('TemporalEnsembling')
    model.start_training(2, 2)
    for sample in (DataSample(), DataSample(metainfo=dict(sample_idx=2)), DataSample(metainfo=dict(sample_idx=-1))):
        with pytest.raises(ValueError, match=r'sample_idx (None|2|-1), '):
            model.loss([torch.randn(1, 3)], [sample])
    for alpha in (-0.1, 1.0):
        with pytest.raises(ValueError, match=r'alpha '):
            build('TemporalEnsembling', alpha=alpha)


class Recorder(Hook):
    """Predictions of each epoch by image path."""

    def __init__(self):
        self.epochs = []

    def before_train_epoch(self, runner):
        self.epochs.append({})
        handle = getattr(self, 'handle', None)
        if handle is None:
            self.handle = runner.model.head.register_forward_hook(
                lambda module, args, logits: setattr(self, 'last', logits.detach().softmax(1))
            )

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        for sample, p in zip(data_batch['data_samples'], self.last, strict=True):
            self.epochs[-1][sample.img_path] = p.double()


def train(cfg):
    from mmengine.runner import Runner

    runner, recorder = Runner.from_cfg(cfg), Recorder()
    runner.register_hook(recorder)
    runner.train()
    return runner, recorder.epochs


def test_a_run_with_workers_and_a_resumed_one_keep_the_same_ensemble(run_baseline, tmp_path):
    flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
    runner, epochs = train(run_baseline('TemporalEnsembling', [[flip]], epochs=3))
    dataset, model = runner.train_dataloader.dataset, runner.model
    assert model.ensemble_counts.tolist() == [3] * len(dataset) == [3] * 33
    targets = ensemble_targets(model.ensemble, model.ensemble_counts, 0.6)
    for index in range(len(dataset)):
        path = dataset.get_data_info(index)['img_path']
        expected = targets_by_hand([epoch[path] for epoch in epochs], 0.6)
        torch.testing.assert_close(targets[index].double(), expected, rtol=1e-5, atol=1e-6)
    assert list(epochs[0]) != list(epochs[1])  # the order changes

    checkpoint = Path(runner.work_dir, 'epoch_2.pth')
    resumed, later = train(
        run_baseline(
            'TemporalEnsembling',
            [[flip]],
            epochs=3,
            workers=2,
            run='resumed',
            resume=True,
            load_from=str(checkpoint),
        )
    )
    assert len(later) == 1
    torch.testing.assert_close(resumed.model.ensemble, model.ensemble)
    assert torch.equal(resumed.model.ensemble_counts, model.ensemble_counts)


PARTS = [[0, 2, 4], [1, 3, 0]]  # the sampler fills up the second process's part with sample 0


def _worker(rank, port, logits, results):
    import uscl_plugin  # noqa: F401
    from uscl_plugin.models.baselines import TemporalEnsembling

    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    model = TemporalEnsembling(
        backbone=dict(type='ResNet', depth=18, stem_channels=16, base_channels=16),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=128),
    )
    model.classify = lambda views: tuple(views)
    model.start_training(5, 5)
    for epoch in range(2):
        batch = [DataSample(metainfo=dict(sample_idx=index)) for index in PARTS[rank]]
        model.loss([logits[epoch, rank]], batch)
        model.end_epoch()
    results[rank] = ensemble_targets(model.ensemble, model.ensemble_counts, 0.6).numpy()
    dist.destroy_process_group()


def test_two_processes_have_the_same_ensemble_of_all_samples(free_port):
    logits = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(0))  # epoch, rank, sample, class
    with mp.Manager() as manager:
        results = manager.dict()
        mp.start_processes(_worker, (free_port, logits, results), nprocs=2, start_method='forkserver')
        found = [results[rank] for rank in range(2)]
    np.testing.assert_array_equal(*found)
    for index in range(5):
        history = []
        for epoch in range(2):
            seen = [logits[epoch, r, k].softmax(0) for r in range(2) for k in range(3) if PARTS[r][k] == index]
            history.append(sum(seen) / len(seen))
        np.testing.assert_allclose(found[0][index], targets_by_hand(history, 0.6), rtol=1e-5)
