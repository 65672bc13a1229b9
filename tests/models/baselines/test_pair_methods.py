"""BYOL, SimSiam, Barlow Twins and MoCo v3 as the configs make them, against their equations in explicit loops."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from uscl.options.common_settings import CommonSettings
from uscl_plugin.comparison.methods import parse_method
from uscl_plugin.comparison.pretraining_config import pretraining_config

CONFIGS = Path(__file__).parents[3] / 'configs' / 'baselines'
NARROW = {'backbone.base_channels': 16, 'backbone.stem_channels': 16, 'neck.in_channels': 128, 'neck.hid_channels': 24}
AVERAGE = {'byol': 'target_net', 'mocov3': 'momentum_encoder'}


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.dist(a, [0] * len(a)) / math.dist(b, [0] * len(b))


def byol(z, predicted, target):
    """2 Σ over both directions of -cos(q(z), z̄ of the other view), mean over the pairs."""
    n = len(predicted[0])
    return 2 * sum(-cosine(predicted[v][i], target[1 - v][i]) for v in (0, 1) for i in range(n)) / n


def simsiam(z, predicted, target):
    n = len(z[0])
    return sum(-cosine(predicted[v][i], z[1 - v][i]) for v in (0, 1) for i in range(n)) / n / 2


def barlowtwins(z, predicted, target):
    """Σ (1 - C_cc)² + λ Σ C_cd², C the correlation over the batch."""
    n, width = len(z[0]), len(z[0][0])
    columns = []
    for view in z:
        standard = []
        for c in range(width):
            values = [row[c] for row in view]
            mean = sum(values) / n
            spread = math.sqrt(sum((value - mean) ** 2 for value in values) / n + 1e-5)
            standard.append([(value - mean) / spread for value in values])
        columns.append(standard)
    total = 0.0
    for c in range(width):
        for d in range(width):
            correlation = sum(a * b for a, b in zip(columns[0][c], columns[1][d], strict=True)) / n
            total += (1 - correlation) ** 2 if c == d else 0.0051 * correlation**2
    return total


def mocov3(z, predicted, target):
    """2τ times the cross-entropy of each query's own key among all keys of the other view, both directions, τ = 1."""
    n, total = len(z[0]), 0.0
    for v in (0, 1):
        for i in range(n):
            terms = [math.exp(cosine(predicted[v][i], key)) for key in target[1 - v]]
            total -= 2 * math.log(terms[i] / sum(terms)) / n
    return total


BY_HAND = {'byol': byol, 'simsiam': simsiam, 'barlowtwins': barlowtwins, 'mocov3': mocov3}


def build(method):
    init_default_scope('mmpretrain')
    (path,) = CONFIGS.glob(f'{method}_*.py')
    cfg = Config.fromfile(path)
    cfg.merge_from_dict({f'model.{key}': value for key, value in NARROW.items()})
    if method == 'barlowtwins':
        cfg.model.neck.out_channels = cfg.model.head.in_channels = 12
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model.train().double()


@pytest.mark.parametrize('count', [2, 6])
@pytest.mark.parametrize('method', BY_HAND)
def test_loss_against_its_equation(method, count):
    model, seen = build(method), {'z': [], 'predicted': [], 'target': []}

    def keep(name):
        return lambda module, inputs, output: seen[name].append(output[0].detach().tolist())

    model.neck.register_forward_hook(keep('z'))
    if hasattr(model.head, 'predictor'):
        model.head.predictor.register_forward_hook(keep('predicted'))
    if method in AVERAGE:
        getattr(model, AVERAGE[method]).register_forward_hook(keep('target'))
    views = [torch.randn(count, 3, 32, 32, dtype=torch.float64) for _ in range(2)]
    loss = model.loss(views, [])['loss']
    assert loss.item() == pytest.approx(BY_HAND[method](**seen), rel=1e-6)
    loss.backward()
    for name, parameter in model.named_parameters():
        is_average = method in AVERAGE and name.startswith(AVERAGE[method])
        assert (parameter.grad is not None and parameter.grad.isfinite().all()) != is_average, name


class Record(Hook):
    """One weight of the network and of its average, and the rates, as every step finds them."""

    priority = 'LOWEST'

    def __init__(self, name):
        self.name, self.online, self.average, self.rates, self.others = name, [], [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.online.append(runner.model.backbone.layer1[0].conv1.weight.detach().double().clone())
        groups = runner.optim_wrapper.optimizer.param_groups
        self.rates.append({group['lr'] for group in groups if group.get('fix_lr')})
        self.others.append({group['lr'] for group in groups if not group.get('fix_lr')})

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.name:
            average = getattr(runner.model, self.name).module[0]
            self.average.append(average.layer1[0].conv1.weight.detach().double().clone())


def train(clusters, tmp_path, method, epochs):
    """A run as comparison and pretraining make it."""
    common = dict(pretrain_data=str(clusters), label_fraction=0.5, epochs=epochs, batch_size=4, size=32, workers=0)
    cfg, _ = pretraining_config(parse_method(method), CommonSettings(**common), seed=0)
    cfg.merge_from_dict({f'model.{key}': value for key, value in NARROW.items()})
    cfg.visualizer.vis_backends = []
    cfg.work_dir, cfg.experiment_name = str(tmp_path / method), f'{tmp_path.name}-{method}-{epochs}'
    cfg.default_hooks.held_out.update(data_root=str(clusters), split=None, interval=1)
    runner, record = Runner.from_cfg(cfg), Record(AVERAGE.get(method))
    runner.register_hook(record)
    runner.train()
    return runner, record


@pytest.mark.parametrize('method', AVERAGE)
def test_the_average_slows_down_over_the_run_however_long_it_is(clusters, tmp_path, method):
    runner, record = train(clusters, tmp_path, method, epochs=3)
    steps = len(record.online)
    assert steps == runner.max_iters == 6
    expected = record.online[0]  # before the first step it is the network itself
    for step, (online, found) in enumerate(zip(record.online, record.average, strict=True)):
        if step:
            rate = 0.01 * (math.cos(math.pi * step / steps) + 1) / 2
            expected = (1 - rate) * expected + rate * online
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert (record.online[-1] - record.online[0]).abs().max() > 1e-4


def test_the_predictor_of_simsiam_keeps_its_rate(clusters, tmp_path):
    _, record = train(clusters, tmp_path, 'simsiam', epochs=3)
    assert record.rates == [{3e-4}] * 6
    assert record.others[0] == {3e-4} and max(record.others[-1]) < 1e-4
