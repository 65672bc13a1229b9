"""Tiny runs: shut branches are reported once at the end, a healthy run is not, and being watched changes nothing."""

import json
from pathlib import Path

import pytest
import torch
from branch_shares import branch_shares
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from uscl.stats.effective_rank import effective_rank
from uscl_plugin.hooks import BackboneHealthHook

STAGES = ['layer1', 'layer2', 'layer3', 'layer4']
SHUT, LINE = 'branches are closed', 'share of residual branches'


def of_method(cfg, method):
    if method != 'USCL':
        parts = {key: cfg.model[key] for key in ('backbone', 'neck', 'data_preprocessor')}
        head = dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2)
        cfg.model = dict(type=method, **parts, head=head)
        cfg.train_dataloader.update(batch_sampler=None, drop_last=True)
        cfg.train_dataloader.dataset.samples_per_video = 2
    if method == 'MoCo':
        cfg.model.update(queue_len=16, feat_dim=32)
    return cfg


class Frozen(Hook):
    """Branches stay at 0."""

    def before_train(self, runner):
        for stage in STAGES:
            for block in getattr(runner.model.backbone, stage):
                for parameter in block.norm2.parameters():
                    parameter.data.zero_()
                    parameter.requires_grad = False


class LastImages(Hook):
    """Keeps the last full batch of training, and evaluates afterwards, as other hooks may."""

    priority = 'HIGH'

    images = ()

    def before_train(self, runner):
        runner.model.backbone.register_forward_pre_hook(self.keep)

    def keep(self, module, inputs):
        if torch.is_grad_enabled() and len(inputs[0]) >= len(self.images):
            self.images = inputs[0].detach()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        runner.model.eval()
        with torch.no_grad():
            runner.model.backbone(torch.randn(9, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
        runner.model.train()


def run(cfg, *hooks):
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


@pytest.fixture
def messages(monkeypatch):
    """What runs say to their loggers: (level, text)."""
    said = []
    build = Runner.build_logger

    def build_logger(self, *args, **kwargs):
        logger = build(self, *args, **kwargs)
        for level in ('info', 'warning'):
            monkeypatch.setattr(logger, level, lambda text, *_, level=level, **__: said.append((level, str(text))))
        return logger

    monkeypatch.setattr(Runner, 'build_logger', build_logger)
    return said


def health(cfg):
    files = sorted(Path(cfg.work_dir).glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    (line,) = [line for line in lines if any(name.startswith('health/') for name in line)]
    return line


@pytest.mark.parametrize('method', ['USCL', 'SimCLR', 'MoCo'])
def test_a_healthy_run_logs_what_the_last_step_shows_and_warns_of_nothing(run_config, messages, method):
    cfg, last = of_method(run_config(2), method), LastImages()
    runner = run(cfg, last)
    expected = branch_shares(runner.model.backbone, last.images)
    line = health(cfg)
    assert line['step'] == runner.iter
    assert {name: line[f'health/branch_{name}'] for name in STAGES} == pytest.approx(expected, rel=1e-3)
    (said,) = [(level, text) for level, text in messages if LINE in text]
    assert said[0] == 'info' and f'layer4 {expected["layer4"]:.3f}' in said[1]
    runner.model.backbone.eval()
    if len(last.images) >= 8:
        with torch.no_grad():
            features = runner.model.backbone(last.images)[-1].mean(dim=(2, 3)).numpy()
        assert line['health/effective_rank'] == pytest.approx(effective_rank(features), rel=1e-3)
        assert f'of at most {len(last.images)}' in said[1]
    else:
        assert 'health/effective_rank' not in line and 'effective rank not measured on 4 images' in said[1]
    assert not [text for level, text in messages if level == 'warning' and 'backbone' in text]


def test_branches_that_are_frozen_at_0_are_reported_once_with_the_remedy(run_config, messages):
    cfg = run_config(2)
    run(cfg, Frozen())
    (text,) = [text for level, text in messages if level == 'warning' and 'backbone' in text]
    assert SHUT in text and all(stage in text for stage in STAGES) and 'zero_init_residual=False' in text
    assert health(cfg)['health/branch_layer1'] == 0


def test_watching_leaves_no_trace(run_config):
    weights = []
    for name in ('plain', 'watched'):
        cfg = run_config(1, name)
        if name == 'plain':
            del cfg.default_hooks['backbone_health']
        runner = run(cfg)
        weights.append(runner.model.state_dict() | {'random': torch.random.get_rng_state()})
        assert not any(module._forward_hooks for module in runner.model.backbone.modules())
        assert not runner.model.backbone._forward_pre_hooks and runner.model.training
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, BackboneHealthHook)]
    assert hook._images is None and hook._handle is None


def test_a_backbone_that_cannot_be_measured_does_not_spoil_the_run(run_config, messages):
    class Picky(Hook):
        def before_train(self, runner):
            runner.model.backbone.register_forward_pre_hook(self.refuse)

        def refuse(self, module, inputs):
            if not module.training:
                raise TypeError('a mask is missing')

    run(run_config(1), Picky())
    assert ('warning', 'the backbone was not measured: a mask is missing') in messages


def test_models_without_a_backbone_are_passed_by():
    class Run:
        model = nn.Linear(2, 2)

    hook = BackboneHealthHook()
    hook.before_train(Run())
    hook.after_train(Run())
