"""Hooks by name: found and removed wherever a config has them, changed on a command line, in no order of their own."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from uscl_plugin.hooks import ContrastiveMonitorHook, HeldOutHook, PlainCheckpointHook
from uscl_plugin.hooks.hook_settings import hook_settings, remove_hook


@pytest.fixture
def cfg():
    return Config(
        dict(
            default_hooks=dict(logger=None, freezing=dict(type='FreezeHook', trainable=['head'])),
            custom_hooks=[dict(type='FreezeHook', trainable=['neck']), PlainCheckpointHook(), dict(type='EMAHook')],
        )
    )


def test_named_and_listed_hooks_are_found_and_can_be_changed(cfg):
    assert [hook['trainable'] for hook in hook_settings(cfg, 'FreezeHook')] == [['head'], ['neck']]
    for hook in hook_settings(cfg, 'FreezeHook'):
        hook['batch_norm'] = 'frozen'
    assert cfg.default_hooks.freezing.batch_norm == cfg.custom_hooks[0].batch_norm == 'frozen'
    assert not list(hook_settings(Config(), 'FreezeHook'))


def test_named_and_listed_hooks_are_removed(cfg):
    remove_hook(cfg, 'FreezeHook')
    assert dict(cfg.default_hooks) == {'logger': None}
    assert [type(hook) for hook in cfg.custom_hooks] == [PlainCheckpointHook, ConfigDict]
    remove_hook(Config(), 'FreezeHook')


@pytest.mark.parametrize('name', ['uscl/uscl_resnet18_demo.py', 'baselines/fixmatch_resnet18_1xb32-300e_us4-224px.py'])
def test_a_name_reaches_its_hook(root, name):
    cfg = Config.fromfile(root / 'configs' / name)
    cfg.merge_from_dict({'default_hooks.held_out.data_root': 'data/mine', 'default_hooks.pair_pictures.interval': 7})
    (held_out,), (pictures,) = (hook_settings(cfg, kind) for kind in ('HeldOutHook', 'PairPictureHook'))
    assert held_out == dict(type='HeldOutHook', data_root='data/mine', split='val', interval=5, save_best=False)
    assert pictures == dict(type='PairPictureHook', interval=7)


def test_a_users_list_of_hooks_runs_beside_the_named_ones(run_config):
    cfg = run_config(1)
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1)]
    names = [type(hook).__name__ for hook in Runner.from_cfg(cfg).hooks]
    assert {'EMAHook', 'SampleSeedHook', 'HeldOutHook', 'ProvenanceHook'} <= set(names)


def test_the_order_of_the_names_changes_nothing(run_config, clusters):
    """MMEngine sorts them in the config that it writes, and a training that starts from that file is the same."""
    weights = []
    for name in ('as written', 'dumped'):
        cfg = run_config(2, name, **{'default_hooks.held_out': dict(data_root=str(clusters), split=None, interval=1)})
        if name == 'dumped':
            cfg.dump(f'{cfg.work_dir}.py')
            cfg = Config.fromfile(f'{cfg.work_dir}.py')
            assert list(cfg.default_hooks) == sorted(cfg.default_hooks)
        runner = Runner.from_cfg(cfg)
        runner.train()
        weights.append(runner.model.state_dict() | {'random': torch.random.get_rng_state()})
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name


def test_watching_pairs_can_be_turned_off_and_is_refused_where_there_are_none(run_config):
    cfg = run_config(1).model
    head = dict(type='LinearClsHead', num_classes=2, in_channels=128)
    classifier = dict(type='ImageClassifier', backbone=cfg.backbone, neck=dict(type='GlobalAveragePooling'), head=head)
    runner = SimpleNamespace(model=MODELS.build(classifier))
    ContrastiveMonitorHook(interval=0).before_train(runner)
    assert not runner.model.backbone._forward_hooks
    HeldOutHook().before_train(runner)  # off
    with pytest.raises(ValueError, match='ImageClassifier'):
        ContrastiveMonitorHook().before_train(runner)
