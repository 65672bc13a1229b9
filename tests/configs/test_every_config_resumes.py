"""A run that is stopped in an epoch and resumed ends where one ends that was never stopped, to the last bit."""

import json
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from test_every_config_trains import (
    ROOT,
    distinct_pretraining,
    lesions,  # noqa: F401 (fixture)
    small_classification,
    small_detection,
    small_pretraining,
    weights,  # noqa: F401 (fixture)
)
from torch import nn

from instruments.kills import leaves
from uscl.data.fold_making import make_folds
from uscl.data.folds import write_folds
from uscl_plugin.models.heads.uscl_head import USCLHead
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

EPOCHS = 3


@MODELS.register_module()
class USCLHeadWithDropout(USCLHead):
    """Draws outside of the samples, as dropout in a network does."""

    def loss(self, representation, projection, data_samples):
        return super().loss(representation, nn.functional.dropout(projection, 0.2), data_samples)


class StoppedError(Exception):
    pass


class StopInEpoch(Hook):
    """Stands for a kill after the first step of the second epoch, when random numbers have been used."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.epoch == 1:
            raise StoppedError


def run(cfg, folder, stop=False, workers=0):
    cfg = Config(cfg._cfg_dict.to_dict())
    cfg.work_dir, cfg.resume = str(folder), folder.exists()
    cfg.experiment_name = f'{folder.name}-{time.monotonic_ns()}'
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1, backend_args=dict(backend='atomic'))
    cfg.train_cfg.max_epochs = EPOCHS
    cfg.train_dataloader.update(num_workers=workers, persistent_workers=workers > 1)
    runner = Runner.from_cfg(cfg)
    if stop:
        runner.register_hook(StopInEpoch())
        with pytest.raises(StoppedError):
            runner.train()
    else:
        runner.train()
        assert runner.epoch == EPOCHS
    return folder


def assert_same_run(one, other):
    """Everything that a checkpoint holds but for times, folders and log values."""
    contents = []
    for folder in (one, other):
        checkpoint = load_plain_checkpoint(folder / f'epoch_{EPOCHS}.pth')
        meta, hub = checkpoint.pop('meta'), checkpoint.pop('message_hub')
        assert (meta['epoch'], hub['runtime_info']['iter'] > 0) == (EPOCHS, True)
        contents.append(dict(leaves(checkpoint | {'iter': meta['iter'], 'hub_iter': hub['runtime_info']['iter']})))
    assert contents[0].keys() == contents[1].keys()
    for name, value in contents[0].items():
        same = torch.equal(value, contents[1][name]) if isinstance(value, torch.Tensor) else value == contents[1][name]
        assert same, name
    return contents[0]


def compare(cfg, tmp_path, workers=(0, 0, 0)):
    """Straight, and stopped and resumed, with these numbers of workers."""
    straight = run(cfg, tmp_path / 'straight', workers=workers[0])
    stopped = run(cfg, tmp_path / 'stopped', stop=True, workers=workers[1])
    assert not (stopped / 'epoch_2.pth').exists()
    return assert_same_run(straight, run(cfg, stopped, workers=workers[2]))


def by_method():
    """Of the configs that run the same code, the first; the others are slow, as resuming depends on the code alone."""
    found = {}
    for path in distinct_pretraining():
        cfg = Config.fromfile(path)
        steps = [step.type for step in cfg.train_dataloader.dataset.pipeline]
        found.setdefault((cfg.model.type, cfg.model.data_preprocessor.type, str(steps)), []).append(path)
    return [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path != paths[0]))
        for paths in found.values()
        for path in paths
    ]


@pytest.mark.parametrize('path', by_method())
def test_pretraining(path, clusters, tmp_path):
    cfg = Config.fromfile(path)
    small_pretraining(cfg, str(clusters))
    names = compare(cfg, tmp_path)
    if 'mocov2' in path.stem:
        assert {'/state_dict/queue', '/state_dict/queue_ptr'} <= names.keys()
    if 'temporal' in path.stem:
        assert any('ensemble' in name or 'targets' in name for name in names)


@pytest.mark.parametrize(
    'workers',
    [(1, 3, 0), *(pytest.param(workers, marks=pytest.mark.slow) for workers in [(0, 1, 3), (3, 0, 1)])],
    ids=str,
)
def test_whatever_the_workers(workers, clusters, tmp_path):
    cfg = Config.fromfile(ROOT / 'uscl/uscl_resnet18_1xb32-300e_us4-224px.py')
    small_pretraining(cfg, str(clusters))
    compare(cfg, tmp_path, workers)


def test_a_video_that_repeats(clusters, tmp_path):
    cfg = Config.fromfile(ROOT / 'uscl/uscl_resnet18_1xb32-300e_us4-224px.py')
    small_pretraining(cfg, str(clusters))
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset)
    compare(cfg, tmp_path, workers=(0, 2, 1))


def test_ema_weights_and_what_a_model_draws(clusters, tmp_path):
    """Dropout stands for whatever draws outside of the samples."""
    cfg = Config.fromfile(ROOT / 'uscl/uscl_resnet18_demo.py')
    small_pretraining(cfg, str(clusters))
    cfg.model.head.update(type='USCLHeadWithDropout')
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1)]
    names = compare(cfg, tmp_path)
    pairs = [(name, name.replace('/ema_state_dict/module.', '/state_dict/')) for name in names if '/ema_' in name]
    assert any(not torch.equal(names[one], names[other]) for one, other in pairs if other in names)


def test_classification(make_clusters, tmp_path, weights):  # noqa: F811
    data = make_clusters(tmp_path / 'data', {f'{"abc"[k % 3]}/v{k}': (1, 'abc'[k % 3], f'p{k}') for k in range(12)})
    entries = json.loads((data / 'annotations.json').read_text())['data_list']
    write_folds(data / 'folds.json', make_folds(entries, 3, 0, val_fraction=0.0))
    cfg = Config.fromfile(ROOT / 'pocus/resnet18_1xb32-finetune3-100e_pocus-224px.py')
    small_classification(cfg, str(data), weights)
    compare(cfg, tmp_path)


def test_detection(lesions, tmp_path, weights):  # noqa: F811
    pytest.importorskip('mmdet')
    cfg = Config.fromfile(ROOT / 'udiat_b/mask-rcnn_r18_fpn_uscl_last3_1xb2-30e_udiat-b.py')
    small_detection(cfg, str(lesions), weights)
    compare(cfg, tmp_path, workers=(0, 2, 1))


def test_the_newest_file_is_truncated(run_config, tmp_path):
    cfg = run_config(EPOCHS)
    straight = run(cfg, tmp_path / 'straight')
    stopped = run(cfg, tmp_path / 'stopped', stop=True)
    whole = (stopped / 'epoch_1.pth').read_bytes()
    (stopped / 'epoch_2.pth').write_bytes(whole[: len(whole) // 2])
    (stopped / 'last_checkpoint').write_text('')  # a kill between opening and writing
    (stopped / '.epoch_2.pth.123.tmp').write_bytes(whole[:100])
    assert_same_run(straight, run(cfg, stopped))
    assert not list(stopped.glob('.*.tmp'))
    log = ''.join(path.read_text() for path in Path(stopped).rglob('*.log'))
    assert 'skipped on resuming' in log and 'epoch_2.pth is not a checkpoint, or is truncated' in log
