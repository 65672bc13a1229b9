"""Whole runs: the same samples and draws whatever the workers and wherever a run resumed; labels; held-out reports."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lightly.loss import NTXentLoss
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS


class Recorder(Hook):
    """Keeps what the network was fed, step by step."""

    def __init__(self):
        self.steps = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        samples = data_batch['data_samples']
        self.steps.append(
            (
                runner.epoch,
                [(s.video_id, s.frame_inds.tolist(), tuple(s.mix_ratios)) for s in samples],
                [float(view.double().sum()) for view in data_batch['inputs']],
            )
        )


def run(cfg):
    runner = Runner.from_cfg(cfg)
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    return runner, recorder.steps


def scalars(cfg):
    files = sorted(Path(cfg.work_dir).glob('*/vis_data/scalars.json'))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_workers_and_resume_change_neither_samples_nor_draws_nor_weights(run_config):
    straight, reference = run(run_config(3, 'straight'))
    assert [len(samples) for _, samples, _ in reference] == [4, 3] * 3
    epochs = [[s[1:] for s in reference if s[0] == epoch] for epoch in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]

    workers = {'train_dataloader.num_workers': 2, 'train_dataloader.persistent_workers': True}
    _, seen = run(run_config(3, 'workers', **workers))
    assert seen == reference

    _, first = run(run_config(1, 'stopped'))
    resumed, rest = run(run_config(3, 'stopped', resume=True, **workers))
    assert first + rest == reference
    for name, tensor in straight.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_another_seed_draws_otherwise(run_config):
    _, first = run(run_config(1, 'a'))
    _, second = run(run_config(1, 'b', **{'randomness.seed': 1}))
    assert first != second


def test_without_labels_training_is_finite_and_only_contrastive(run_config):
    cfg = run_config(2, **{'train_dataloader.dataset.label_fraction': 0.0})
    runner, _ = run(cfg)
    lines = [line for line in scalars(cfg) if 'loss' in line]
    assert len(lines) == 4
    for line in lines:
        assert line['loss_cls'] == 0 and 'accuracy' not in line
        assert line['loss'] == pytest.approx(line['loss_contrastive'])
    assert all(tensor.isfinite().all() for tensor in runner.model.state_dict().values())


def test_losses_and_accuracy_are_logged_apart(run_config):
    cfg = run_config(1)
    run(cfg)
    for line in (line for line in scalars(cfg) if 'loss' in line):
        assert line['loss'] == pytest.approx(line['loss_contrastive'] + line['loss_cls'], rel=1e-4)
        assert 0 <= line['accuracy'] <= 100


def test_too_few_classes_stop_the_run_with_the_remedy(run_config):
    with pytest.raises(ValueError, match=r'label 1, .*model.head.num_classes'):
        run(run_config(1, **{'model.head.num_classes': 1}))


@pytest.fixture
def held_out(tmp_path, make_clusters):
    videos = {f'c/h{i}': (6, 'c') for i in range(6)}
    return make_clusters(tmp_path / 'held_out', videos, split='val')


def held_out_hook(cfg, **settings):
    cfg.default_hooks.held_out.update(settings)
    return cfg


def contrastive_by_hand(runner, data_root):
    """Mean over the pairs of batches of four and of two videos, by Lightly's loss."""
    config = dict(runner.cfg.train_dataloader.dataset, data_root=str(data_root), split='val', label_map=None)
    dataset = DATASETS.build(config)
    dataset.set_epoch(0, run_seed=0)
    runner.model.eval()
    total = 0.0
    for indices in ([0, 1, 2, 3], [4, 5]):
        batch = runner.model.data_preprocessor(default_collate([dataset[i] for i in indices]))
        with torch.no_grad():
            first, second = (runner.model.neck(runner.model.backbone(view))[0] for view in batch['inputs'])
        total += len(indices) * NTXentLoss(temperature=0.5)(first, second).item()
    runner.model.train()
    return total / 6


def test_held_out_videos_are_reported_and_the_best_epoch_is_kept(run_config, held_out):
    cfg = held_out_hook(run_config(5), data_root=str(held_out), interval=2, save_best='contrastive')
    runner, _ = run(cfg)
    lines = [line for line in scalars(cfg) if 'held_out/contrastive' in line]
    assert [line['step'] for line in lines] == [2, 4, 5]  # the last one, too
    for line in lines:
        assert np.isfinite([line[f'held_out/{name}'] for name in ('contrastive', 'gap', 'auroc', 'retrieval')]).all()
    assert lines[-1]['held_out/contrastive'] == pytest.approx(contrastive_by_hand(runner, held_out), rel=1e-4)
    best = min(lines, key=lambda line: line['held_out/contrastive'])
    checkpoint = torch.load(Path(cfg.work_dir) / 'best_held_out_contrastive.pth', weights_only=True)
    assert checkpoint['meta']['epoch'] == best['step']
    assert runner.model.training


def test_labels_and_rank_of_held_out_videos_are_reported_of_a_few_frames(run_config, tmp_path, make_clusters):
    videos = {f'{"ab"[k % 2]}/h{k}': (9, 'ab'[k % 2], f'p{k}') for k in range(6)}
    data = make_clusters(tmp_path / 'held_out', videos, split='val')
    cfg = held_out_hook(run_config(1), data_root=str(data), frames_per_video=3, save_best='knn')
    runner, _ = run(cfg)
    (line,) = [line for line in scalars(cfg) if 'held_out/knn' in line]
    assert 0 <= line['held_out/knn'] <= 1 and 1 <= line['held_out/effective_rank'] <= 18
    assert (Path(cfg.work_dir) / 'best_held_out_knn.pth').is_file()
    values = runner.message_hub.get_info('held_out')
    assert {f'held_out/{name}': value for name, value in values.items()}.items() <= line.items()


def test_watching_does_not_change_the_run(run_config, held_out):
    plain, reference = run(run_config(2, 'plain'))
    watched, seen = run(held_out_hook(run_config(2, 'watched'), data_root=str(held_out), interval=1))
    assert seen == reference
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(tensor, watched.model.state_dict()[name]), name


def test_a_wrong_held_out_folder_stops_before_the_first_epoch(run_config, tmp_path):
    cfg = held_out_hook(run_config(1), data_root=str(tmp_path / 'nowhere'))
    with pytest.raises(FileNotFoundError, match=r'nowhere/annotations.json'):
        run(cfg)
    assert not list(Path(cfg.work_dir).glob('*.pth'))


def test_iterations_instead_of_epochs_are_refused(run_config):
    cfg = run_config(1)
    cfg.train_cfg = dict(by_epoch=False, max_iters=2)
    cfg.param_scheduler = []
    with pytest.raises(ValueError, match=r'SampleSeedHook'):
        run(cfg)


def test_a_single_held_out_video_stops_before_the_first_epoch(run_config, tmp_path, make_clusters):
    lone = make_clusters(tmp_path / 'lone', {'c/h': (6, 'c')}, split='val')
    cfg = held_out_hook(run_config(1), data_root=str(lone))
    with pytest.raises(ValueError, match=r"split 'val' of .*lone .*1 video"):
        run(cfg)
    assert not list(Path(cfg.work_dir).glob('*.pth'))
