"""The hooks of every run work with UCL, HiCo and Meta-USCL, and see the pairs that these contrast."""

import copy
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from test_every_config_trains import ROOT, small_pretraining

from uscl_plugin.hooks.finite_loss import NonFiniteError
from uscl_plugin.measures.pair_similarity import spread
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.resnet_state import find_backbone


def configured(method, clusters, tmp_path):
    (path,) = (ROOT / 'baselines').glob(f'{method}_*.py')
    cfg = Config.fromfile(path)
    small_pretraining(cfg, str(clusters))
    cfg.log_processor.pop('mean_pattern')  # the values of each step, not their means
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(interval=1, backend_args=dict(backend='atomic'))
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'run'), f'{method}-{tmp_path.name}'
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    return cfg


class Pairs(Hook):
    """The cosines of the pairs of each step, from what the loss was given; of Meta-USCL also their spread."""

    priority = 'HIGH'

    def __init__(self, method):
        self.method, self.steps, self.given, self.spreads = method, [], [], []

    def before_train(self, runner):
        owner = runner.model if self.method == 'ucl' else runner.model.head
        name = '_losses' if self.method == 'ucl' else 'loss'
        learn = getattr(owner, name)

        def loss(*args):
            self.given = args
            return learn(*args)

        setattr(owner, name, loss)
        if self.method == 'meta-uscl':
            weigh = owner.weigh

            def keep(representation):
                self.representation = representation.detach()
                return weigh(representation)

            owner.weigh = keep

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.method == 'ucl':
            query, key = self.given[:2]
            self.steps.append((query * key).sum(1).mean().item())
        else:
            projection = self.given[1][-1] if self.method == 'hico' else self.given[0]
            if self.method == 'meta-uscl':
                self.spreads.append(spread(self.representation).item())
            first, second = projection.detach().chunk(2)
            self.steps.append(torch.nn.functional.cosine_similarity(first, second).mean().item())


@pytest.mark.parametrize('method', ['ucl', 'hico', 'meta-uscl'])
def test_monitor_held_out_health_checkpoint_and_export(method, clusters, tmp_path, make_clusters):
    held_out = make_clusters(tmp_path / 'held_out', {f'c/h{i}': (6, 'c') for i in range(3)}, split='val')
    cfg = configured(method, clusters, tmp_path)
    cfg.default_hooks.held_out.update(data_root=str(held_out), interval=1)
    runner, pairs = Runner.from_cfg(cfg), Pairs(method)
    runner.register_hook(pairs)
    runner.train()
    (scalars,) = Path(cfg.work_dir).glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    steps = [line for line in lines if 'loss' in line]
    assert [line['positive_similarity'] for line in steps] == pytest.approx(pairs.steps, abs=2e-6)
    if method == 'meta-uscl':  # of the pairs, not of the meta pairs
        assert [line['spread'] for line in steps] == pytest.approx(pairs.spreads, abs=2e-6)
    conflicts = [line.get('similarity_conflict') for line in steps]
    assert conflicts == ([None, None] if method == 'ucl' else [0, 0])
    assert all(0 < line['spread'] <= 1 and -1 <= line['negative_similarity'] <= 1 for line in steps)
    keys = set().union(*lines)
    assert {'held_out/retrieval', 'health/effective_rank'} <= keys
    assert ('held_out/contrastive' in keys) == (method != 'ucl')
    # What an export of it holds: the network, not a moving average, and nothing of neck and head.
    found = find_backbone(load_plain_checkpoint(Path(cfg.work_dir) / 'epoch_1.pth')).state
    expected = runner.model.backbone.state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


def test_a_loss_that_is_not_finite_leaves_the_weight_net_as_it_was(clusters, tmp_path):
    """It has its own step, which comes before the optimiser's."""
    runner = Runner.from_cfg(configured('meta-uscl', clusters, tmp_path))
    model, before = runner.model, []

    class Spoil(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            before.append(copy.deepcopy(model.head.state_dict()))
            data_batch['inputs'][3] = data_batch['inputs'][3] * torch.nan  # the second views of the meta pairs

    runner.register_hook(Spoil())
    with pytest.raises(NonFiniteError, match='loss_meta = nan'):
        runner.train()
    assert len(before) == 1
    assert all(torch.equal(value, before[0][name]) for name, value in model.head.state_dict().items())
