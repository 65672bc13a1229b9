"""Tiny runs of every method with pairs: what is logged is what the loss saw, and watching changes nothing."""

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from torch import distributed as dist

from uscl_plugin.hooks import ContrastiveMonitorHook
from uscl_plugin.hooks.contrastive_monitor import NAMES, CollapseError

QUEUE = 16
NO_NEGATIVES = ('BYOL', 'SimSiam', 'BarlowTwins')


def head_of_logits():
    return dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2)


def head_of(method):
    predictor = dict(type='NonLinearNeck', in_channels=32, hid_channels=16, out_channels=32, with_avg_pool=False)
    predictor |= dict(norm_cfg=dict(type='BN1d'), with_last_bn=False)
    if method == 'BarlowTwins':
        return dict(type='LatentCrossCorrelationHead', in_channels=32, loss=dict(type='CrossCorrelationLoss'))
    if method == 'MoCoV3':
        return dict(type='MoCoV3Head', predictor=predictor, loss=dict(type='CrossEntropyLoss', loss_weight=2.0))
    if method in NO_NEGATIVES:
        return dict(type='LatentPredictHead', predictor=predictor, loss=dict(type='CosineSimilarityLoss'))
    return head_of_logits()


def monitored(cfg, method='USCL', samples=1, **settings):
    cfg.default_hooks.contrastive_monitor.update(settings)
    cfg.log_processor.pop('mean_pattern')  # the values of each step, not their means
    cfg.train_dataloader.dataset.samples_per_video = samples
    if method != 'USCL':
        parts = {key: cfg.model[key] for key in ('backbone', 'neck', 'data_preprocessor')}
        cfg.model = dict(type=method, **parts, head=head_of(method))
        cfg.train_dataloader.update(batch_sampler=None, drop_last=True)
    if method == 'MoCo':
        cfg.model.update(queue_len=QUEUE, feat_dim=32)
    return cfg


class Reference(Hook):
    """Takes the pairs from what the head is given, and evaluates in between, as other hooks may."""

    priority = 'HIGH'  # between the training step and the monitor

    def __init__(self):
        self.steps, self.queue = [], [None] * QUEUE

    def before_train(self, runner):
        model = runner.model
        learn = model.head.loss

        def loss(*args):
            self.given.append([arg.detach().clone() for arg in args[:2]])
            return learn(*args)

        model.head.loss = loss
        model.backbone.register_forward_hook(self.keep_training_features)

    def keep_training_features(self, module, inputs, outputs):
        if torch.is_grad_enabled():
            self.features += outputs[-1].detach().mean((2, 3)).tolist()

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.given, self.features = [], []
        self.evaluate(runner.model)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        videos = [sample.get('video_id') for sample in data_batch['data_samples']]
        kind = type(runner.model).__name__
        if kind == 'USCL':
            step = pairs_of_views(self.given[0][1].tolist())
        elif kind in ('SimCLR', 'MoCo'):  # the head is given the cosines of positive and negative pairs
            step = {name: part.mean().item() for name, part in zip(NAMES, self.given[0], strict=False)}
        elif kind == 'BarlowTwins':  # both views, which it standardises
            views = [(z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt() for z in self.given[0]]
            step = pairs_of_views(torch.cat(views).tolist())
        else:  # one view and the target of the other, then the reverse
            step = pairs_of_views(torch.cat([view for view, _ in self.given]).tolist())
        if kind == 'MoCo':
            same = [video == other for video in videos for other in self.queue]
            self.queue = [*self.queue, *videos][-QUEUE:]
        else:
            same = [videos[i] == videos[j] for i in range(len(videos)) for j in range(len(videos)) if i != j]
        step |= {'spread': spread_of(self.features)}
        if kind not in NO_NEGATIVES:
            step['similarity_conflict'] = sum(same) / len(same)
        self.steps.append(step)
        self.evaluate(runner.model)

    def evaluate(self, model):
        for mode in (False, True):
            before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            model.train(mode)
            with torch.no_grad():
                model.neck(model.backbone(torch.zeros(2, 3, 32, 32)))
            model.train()
            model.load_state_dict(before)


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(x * x for x in b))


def pairs_of_views(views):
    n, found = len(views) // 2, {'positive_similarity': [], 'negative_similarity': []}
    for i in range(2 * n):
        for j in range(2 * n):
            if i != j:
                kind = 'positive' if abs(i - j) == n else 'negative'
                found[f'{kind}_similarity'].append(cosine(views[i], views[j]))
    return {name: sum(values) / len(values) for name, values in found.items()}


def spread_of(features):
    features = torch.tensor(features, dtype=torch.float64)
    features = features / features.square().sum(1, keepdim=True).sqrt()
    return features.std(0).mean().item() * math.sqrt(features.shape[1])


def run(cfg):
    runner = Runner.from_cfg(cfg)
    reference = Reference()
    runner.register_hook(reference)
    runner.train()
    files = sorted(Path(cfg.work_dir).glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return runner, reference.steps, [line for line in lines if 'loss' in line]


@pytest.mark.parametrize(
    'method, samples, steps',
    [
        *[('USCL', 1, 2), ('USCL', 2, 4), ('SimCLR', 2, 3), ('MoCo', 2, 3), ('MoCoV3', 2, 3)],
        *[('BYOL', 2, 3), ('SimSiam', 2, 3), ('BarlowTwins', 2, 3)],
    ],
)
def test_scalars_are_those_of_the_pairs_of_the_step(run_config, method, samples, steps):
    runner, reference, lines = run(monitored(run_config(2), method, samples))
    assert len(lines) == len(reference) == 2 * steps
    for line, expected in zip(lines, reference, strict=True):
        assert set(NAMES) & set(line) == set(expected)
        for name, value in expected.items():
            assert line[name] == pytest.approx(value, abs=2e-6), name
    conflicts = [line['similarity_conflict'] for line in lines if method not in NO_NEGATIVES]
    assert set(conflicts) <= {0.0} if samples == 1 or method in NO_NEGATIVES else max(conflicts) > 0
    modules = [runner.model.neck, *runner.model.head.children()]
    assert len(runner.model.backbone._forward_hooks) == 1 and not any(m._forward_hooks for m in modules)  # the test's


@pytest.mark.parametrize(
    ('method', 'repeats', 'expected'),
    [('USCL', 2, 1), ('USCL', 1, 0), ('SimCLR', 2, 1), ('MoCoV3', 2, 1), ('MoCo', 2, 0), ('BYOL', 2, 0)],
)
def test_negatives_of_one_video_are_warned_about_once(run_config, monkeypatch, method, repeats, expected):
    cfg = monitored(run_config(1), method)
    dataset = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=repeats, dataset=dataset)
    runner, said = Runner.from_cfg(cfg), []
    monkeypatch.setattr(runner.logger, 'warning', said.append)
    runner.train()
    said = [text for text in said if 'negatives of each other' in text]
    assert len(said) == expected
    assert all(re.match(r"video '[abn]\w*/\w+' is [234] times .* samples_per_video=1", text) for text in said)


def test_watching_changes_neither_weights_nor_held_out_reports(run_config, tmp_path, make_clusters):
    held_out = make_clusters(tmp_path / 'held_out', {f'c/h{i}': (6, 'c') for i in range(3)}, split='val')
    weights, reports = [], []
    for name in ('plain', 'watched'):
        cfg = run_config(1, name)
        cfg.default_hooks.held_out.update(data_root=str(held_out), interval=1)
        if name == 'plain':
            del cfg.default_hooks['contrastive_monitor']
        runner, _, _ = run(monitored(cfg) if name == 'watched' else cfg)
        weights.append(runner.model.state_dict())
        text = next(Path(cfg.work_dir).glob('*/vis_data/scalars.json')).read_text()
        reports.append([line for line in text.splitlines() if 'held_out' in line])
    assert reports[0] == reports[1] != []
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name


def test_a_resumed_run_knows_the_videos_of_its_queue(run_config):
    _, expected, _ = run(monitored(run_config(2, 'straight'), 'MoCo', 2))
    run(monitored(run_config(1, 'stopped'), 'MoCo', 2))
    _, _, lines = run(monitored(run_config(2, 'stopped', resume=True), 'MoCo', 2))
    assert [line['similarity_conflict'] for line in lines] == [step['similarity_conflict'] for step in expected]


def test_the_interval_and_samples_without_video(run_config):
    cfg = monitored(run_config(2), interval=3)
    cfg.train_dataloader.dataset.steps.PackInputs = dict(meta_keys=('sample_idx',))
    _, reference, lines = run(cfg)
    assert all('similarity_conflict' not in line for line in lines)
    for name in NAMES[:3]:
        assert [name in line for line in lines] == [False, False, True, True]
        assert lines[2][name] == lines[3][name] == pytest.approx(reference[2][name], abs=2e-6)


@pytest.mark.parametrize('kind', ['ImageClassifier', 'USCL without a neck'])
def test_models_with_other_pairs_are_refused(run_config, kind):
    cfg = run_config(1).model
    if kind == 'ImageClassifier':
        head = dict(type='LinearClsHead', num_classes=2, in_channels=128)
        cfg = dict(type=kind, backbone=cfg.backbone, neck=dict(type='GlobalAveragePooling'), head=head)
    model = MODELS.build(cfg)
    if kind.endswith('neck'):
        model.neck = None
    with pytest.raises(ValueError, match=rf'{kind.split()[0]}: .*interval'):
        ContrastiveMonitorHook().before_train(SimpleNamespace(model=model))
    with pytest.raises(ValueError, match=r'interval .*-1'):
        ContrastiveMonitorHook(interval=-1)


class Hub(dict):
    """What the monitor uses of a message hub."""

    def get_info(self, name):
        return self.get(name)

    def update_info(self, name, value):
        self[name] = value

    update_scalar = update_info


def _worker(rank, port, results):
    import uscl_plugin  # noqa: F401

    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    torch.manual_seed(0)  # the queue, too, is the same on both
    backbone = dict(type='ResNet', depth=18, stem_channels=16, base_channels=16, out_indices=(3,))
    neck = dict(type='MoCoV2Neck', in_channels=128, hid_channels=8, out_channels=6)
    model = dict(type='MoCo', queue_len=8, feat_dim=6, backbone=backbone, neck=neck, head=head_of_logits())
    model = MODELS.build(dict(model, _scope_='mmpretrain')).train()
    given, learn = [], model.head.loss
    model.head.loss = lambda *args: given.append([arg.mean().item() for arg in args]) or learn(*args)
    runner, hook, logged = SimpleNamespace(model=model, message_hub=Hub(), iter=0), ContrastiveMonitorHook(), []
    hook.before_train(runner)
    for names in ('ab', 'ca'):
        samples = [{'video_id': f'{name}{rank if name == "b" else ""}'} for name in names]
        batch = {'data_samples': samples}
        hook.before_train_iter(runner, 0, batch)
        model.loss([torch.randn(2, 3, 32, 32) + rank for _ in range(2)], samples)
        hook.after_train_iter(runner, 0, batch)
        logged.append([runner.message_hub[f'train/{name}'] for name in NAMES])
    results[rank] = (given, logged, hook._queue.videos)
    dist.destroy_process_group()


@pytest.mark.slow
def test_ranks_share_the_queue_and_log_their_own_pairs(free_port):
    with mp.Manager() as manager:
        results = manager.dict()
        mp.start_processes(_worker, (free_port, results), nprocs=2, start_method='forkserver')
        results = dict(results)
    for given, logged, videos in results.values():
        for (positive, negative), values in zip(given, logged, strict=True):
            assert values[:2] == pytest.approx([positive, negative], abs=1e-6)
        assert [values[3] for values in logged] == [0, 2 / 16]  # one query of two, with two of eight keys
        assert videos == ['a', 'b0', 'a', 'b1', 'c', 'a', 'c', 'a']
    assert results[0][1] != results[1][1]


def collapsing(cfg, **settings):
    """A run whose backbone ends in zeros and a constant, from the third step on."""
    cfg = monitored(cfg, collapse=dict(checks=3), **settings)
    cfg.train_dataloader.dataset.samples_per_video = 2
    runner = Runner.from_cfg(cfg)

    class Planted(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 2:
                for block in runner.model.backbone.layer4:
                    block.register_forward_hook(lambda module, inputs, output: output * 1e-6 + 1)

    runner.register_hook(Planted())
    return runner


def test_a_collapse_is_reported_once_with_since_when(run_config, monkeypatch):
    runner, said = collapsing(run_config(2)), []
    monkeypatch.setattr(runner.logger, 'warning', said.append)
    runner.train()
    said = [text for text in said if 'collapsed' in text]
    # Of the pairs, while it trains; of the features, once it has ended.
    assert [text.split()[1] for text in said] == ['representation', 'projections', 'the']
    assert said[2].startswith('backbone: the features have collapsed')
    assert re.match(r'the representation has collapsed: its spread is 0\.0\d+, below 0\.05, since step 3 \(3', said[0])
    assert 'lower learning rate' in said[0] and 'browse_pairs' in said[0]


def test_a_collapse_can_end_the_run(run_config):
    runner = collapsing(run_config(2), on_collapse='stop')
    with pytest.raises(CollapseError, match='step 3'):
        runner.train()
    assert runner.iter == 4
    with pytest.raises(ValueError, match=r"on_collapse .*'end'"):
        ContrastiveMonitorHook(on_collapse='end')
