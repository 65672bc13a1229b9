import logging
import uuid
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.registry import HOOKS, DefaultScope
from mmengine.runner import Runner
from torch import nn

from uscl_plugin.hooks.plain_checkpoint import PlainCheckpointHook


class ToyModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x, mode='tensor'):
        return {'loss': (self.net(x) - x.sum(1, keepdim=True)).square().mean()}


class ToyDataset(BaseDataset):
    METAINFO: ClassVar = {'classes': ('a', 'b')}

    def load_data_list(self):
        return [{'x': torch.sin(torch.arange(4.0) + index)} for index in range(12)]

    def prepare_data(self, idx):
        return {'x': self.get_data_info(idx)['x']}


class AddsNumPy(Hook):
    """Stands for a hook of someone else that stores what pickles as code."""

    def before_save_checkpoint(self, runner, checkpoint):
        checkpoint['meta']['score'] = np.float64(0.5)
        runner.message_hub.update_info('score', np.float64(0.5))


def train_toy(work_dir, epochs, optimizer=None, **settings):
    """Train the toy model on the toy data with MMEngine's runner."""
    runner = Runner(
        model=ToyModel(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=ToyDataset(),
            batch_size=4,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=optimizer or dict(type='Adam', lr=0.01)),
        randomness=dict(seed=3),
        default_scope='mmengine',
        experiment_name=uuid.uuid4().hex,
        **settings,
    )
    runner.train()
    return runner


def run(work_dir, epochs, resume=None, plain=True):
    torch.manual_seed(0)
    return train_toy(
        work_dir,
        epochs,
        param_scheduler=dict(type='CosineAnnealingLR', T_max=4, by_epoch=True),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        custom_hooks=[dict(type='PlainCheckpointHook')] * plain + [AddsNumPy()] * plain,
        load_from=resume,
        resume=resume is not None,
    )


@pytest.fixture(scope='module', autouse=True)
def scope_of_other_tests():
    instances = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()  # every Runner leaves its default scope behind
    DefaultScope._instance_dict.update(instances)


@pytest.fixture(scope='module')
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp('straight')
    return run(folder, 2), folder


def test_checkpoint_loads_with_weights_only_and_keeps_the_run(straight):
    runner, folder = straight
    allowed = torch.serialization.get_safe_globals()  # some packages add theirs on import
    torch.serialization.clear_safe_globals()
    try:
        checkpoint = torch.load(folder / 'epoch_1.pth', weights_only=True)
    finally:
        torch.serialization.add_safe_globals(allowed)
    assert checkpoint['meta']['epoch'] == 1 and checkpoint['meta']['score'] == 0.5
    assert checkpoint['meta']['dataset_meta'] == {'classes': ('a', 'b')}
    hub = checkpoint['message_hub']
    assert set(hub) == {'log_scalars', 'runtime_info', 'resumed_keys'}
    assert hub['log_scalars'] == {} and hub['runtime_info']['iter'] == 2
    assert set(hub['resumed_keys']) == set(hub['runtime_info'])
    assert checkpoint['optimizer']['state'][0]['exp_avg'].shape == (8, 4)
    assert isinstance(runner.message_hub.get_scalar('train/loss'), HistoryBuffer)  # the run's own is still there


def test_without_the_hook_it_would_not(tmp_path):
    run(tmp_path, 1, plain=False)
    with pytest.raises(Exception, match='HistoryBuffer'):
        torch.load(tmp_path / 'epoch_1.pth', weights_only=True)


def test_resumed_run_ends_where_the_straight_one_does(straight, tmp_path):
    _, folder = straight
    resumed = run(tmp_path, 2, resume=str(folder / 'epoch_1.pth'))
    assert resumed.epoch == 2 and resumed.iter == 6
    expected, got = (torch.load(f / 'epoch_2.pth', weights_only=True) for f in (folder, tmp_path))
    first = torch.load(folder / 'epoch_1.pth', weights_only=True)['state_dict']
    for name, value in expected['state_dict'].items():
        assert torch.equal(got['state_dict'][name], value), name
        assert not torch.equal(first[name], value), name  # the second epoch did something
    assert got['param_schedulers'] == expected['param_schedulers']
    for name, value in expected['optimizer']['state'][0].items():
        assert torch.equal(got['optimizer']['state'][0][name], value), name
    log = '\n'.join(path.read_text() for path in tmp_path.rglob('*.log'))
    assert 'resumed epoch: 1' in log
    for noise in ('resumed key', 'HistoryBuffer', 'metainfo from the resumed', 'Could not safely load'):
        assert noise not in log


def test_hook_is_registered_and_runs_last():
    hook = HOOKS.build(dict(type='PlainCheckpointHook'))
    assert isinstance(hook, PlainCheckpointHook) and hook.priority == 'LOWEST'


def test_value_without_plain_form_is_left_out_with_one_warning(caplog):
    logger = logging.getLogger('test_plain_checkpoint')
    hook = PlainCheckpointHook()
    for _ in range(2):
        checkpoint = {
            'meta': {},
            'message_hub': {'log_scalars': {}, 'runtime_info': {'f': print, 'n': 1}, 'resumed_keys': {'f': 1, 'n': 1}},
        }
        with caplog.at_level(logging.WARNING, logger=logger.name):
            hook.before_save_checkpoint(SimpleNamespace(logger=logger), checkpoint)
        assert checkpoint['message_hub'] == {'log_scalars': {}, 'runtime_info': {'n': 1}, 'resumed_keys': {'n': 1}}
    (record,) = caplog.records
    assert record.message.startswith(
        "checkpoint['message_hub']['runtime_info']['f'] (builtin_function_or_method) has no"
    )
