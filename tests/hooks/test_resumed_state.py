"""A run goes on from a checkpoint of its own kind alone, and nothing in the checkpoint is executed or deleted."""

import runpy
import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import Runner
from test_plain_checkpoint import ToyModel, scope_of_other_tests, train_toy  # noqa: F401 (fixture)

from uscl_plugin.hooks.plain_checkpoint import PlainCheckpointHook
from uscl_plugin.hooks.resumed_state import check_started
from uscl_plugin.running.host_tools import host_tool, run_host_tool
from uscl_plugin.weights.checkpoint_error import CheckpointError

EMA = dict(type='EMAHook', momentum=0.1)


def run(work_dir, epochs, source=None, ema=False, optimizer=None, schedulers=1, **settings):
    """Train the toy model; `source` is resumed from: a path, or '' for the newest in the work folder."""
    return train_toy(
        work_dir,
        epochs,
        optimizer,
        param_scheduler=[dict(type='CosineAnnealingLR', T_max=4, by_epoch=True)] * schedulers,
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2)),
        custom_hooks=[dict(type='PlainCheckpointHook')] + [EMA] * ema,
        load_from=str(source or '') or None,
        resume=source is not None,
        **settings,
    )


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """The checkpoints of a run of one epoch without and with averaged weights."""
    folder = tmp_path_factory.mktemp('saved')
    for ema in (False, True):
        run(folder / str(ema), 1, ema=ema)
    return {ema: folder / str(ema) / 'epoch_1.pth' for ema in (False, True)}


@pytest.fixture
def planted(saved, tmp_path):
    """A function that writes a changed checkpoint."""

    def write(change, ema=False):
        content = torch.load(saved[ema], weights_only=True)
        change(content)
        path = tmp_path / 'planted.pth'
        torch.save(content, path)
        return path

    return write


def renamed(state):
    for name in [name for name in state if 'net.0' in name]:
        state[name.replace('net.', 'other.')] = state.pop(name)


CHANGES = {
    'nothing': (lambda content: None, None),
    'names': (lambda content: renamed(content['state_dict']), r'missing \(net.0.weight, .*left over \(other.0.weight'),
    'a shape': (
        lambda content: content['state_dict'].update({'net.3.bias': torch.zeros(2)}),
        r'net.3.bias \(2,\) instead of \(1,\)',
    ),
    'no optimiser': (lambda content: content.pop('optimizer'), 'missing .*optimizer.param_groups.0'),
    'fewer weights in a group': (
        lambda content: content['optimizer']['param_groups'][0]['params'].pop(),
        r'optimizer.param_groups.0 \(5 parameters\) instead of \(6 parameters\)',
    ),
    'another group': (
        lambda content: content['optimizer']['param_groups'].append({'params': [6], 'lr': 0.1}),
        'left over .*optimizer.param_groups.1',
    ),
    'a momentum': (
        lambda content: content['optimizer']['state'][0].update(exp_avg=torch.zeros(7, 4)),
        r'optimizer.state.0.exp_avg \(7, 4\) instead of \(8, 4\)',
    ),
    'no schedule': (lambda content: content['param_schedulers'].clear(), 'missing .*param_schedulers.0'),
    'two schedules': (
        lambda content: content['param_schedulers'].append(content['param_schedulers'][0]),
        'left over .*param_schedulers.1',
    ),
    'averages nobody asked for': (
        lambda content: content.update(ema_state_dict={'module.net.0.weight': torch.zeros(8, 4)}),
        'left over .*ema_state_dict.module.net.0.weight',
    ),
}


@pytest.mark.parametrize('change', CHANGES)
def test_what_does_not_fit_is_not_resumed(change, planted, tmp_path):
    alter, text = CHANGES[change]
    path = planted(alter)
    if text is None:
        assert run(tmp_path / 'run', 2, path).epoch == 2
        return
    with pytest.raises(CheckpointError, match=rf'planted.pth does not fit this run, .*{text}'):
        run(tmp_path / 'run', 2, path)


@pytest.mark.parametrize('change', ['nothing', 'names', 'no averages'])
def test_averaged_weights(change, planted, tmp_path):
    """The hook of the averages loads them before any other looks at the checkpoint."""
    changes = {
        'nothing': lambda content: None,
        'names': lambda content: renamed(content['state_dict']),
        'no averages': lambda content: content.pop('ema_state_dict'),
    }
    path = planted(changes[change], ema=True)
    if change == 'nothing':
        assert run(tmp_path / 'run', 2, path, ema=True).epoch == 2
        return
    with pytest.raises(CheckpointError, match=r'planted.pth does not fit this run'):
        run(tmp_path / 'run', 2, path, ema=True)


def test_the_state_of_another_optimiser(saved, tmp_path):
    sgd = dict(type='SGD', lr=0.01, momentum=0.9)
    with pytest.raises(CheckpointError, match=r'epoch_1.pth .*missing .*momentum.*left over .*betas'):
        run(tmp_path / 'run', 2, saved[False], optimizer=sgd)


def test_another_schedule(saved, tmp_path):
    with pytest.raises(CheckpointError, match=r'epoch_1.pth .*missing .*param_schedulers.1'):
        run(tmp_path / 'run', 2, saved[False], schedulers=2)


def test_a_new_run_wants_the_whole_backbone():
    model = torch.nn.ModuleDict({'backbone': torch.nn.Conv2d(1, 2, 3), 'head': torch.nn.Linear(2, 3)})
    runner, state = SimpleNamespace(model=model), model.state_dict()
    check_started(runner, {'state_dict': state}, 'a.pth')
    other_task = {name: value for name, value in state.items() if name.startswith('backbone.')} | {'x': torch.zeros(1)}
    check_started(runner, {'state_dict': other_task}, 'a.pth')
    renamed = {f'body.{name}': value for name, value in state.items()}
    for wrong in (renamed, other_task | {'backbone.bias': torch.zeros(3)}):
        with pytest.raises(CheckpointError, match=r'a\.pth does not fit .*backbone\.'):
            check_started(runner, {'state_dict': wrong}, 'a.pth')
    plain = SimpleNamespace(model=torch.nn.Linear(2, 3))
    check_started(plain, {'bias': torch.zeros(3)}, 'a.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth does not fit .*weight'):
        check_started(plain, {'bias': torch.zeros(4)}, 'a.pth')


def test_a_test_wants_every_tensor_of_the_model():
    runner = SimpleNamespace(model=ToyModel(), _train_loop={'type': 'not built'}, _load_from='a.pth', _resume=False)
    state, hook = runner.model.state_dict(), PlainCheckpointHook()
    without_counters = {name: tensor for name, tensor in state.items() if 'num_batches' not in name}
    for whole in (state, without_counters, {f'module.{name}': tensor for name, tensor in state.items()}):
        hook.after_load_checkpoint(runner, {'state_dict': whole})
    hook.after_load_checkpoint(runner, state | {'more': torch.zeros(1)})
    for wrong in ({'net.3.bias': state['net.3.bias']}, {**state, 'net.0.weight': torch.zeros(5)}):
        with pytest.raises(CheckpointError, match=r'a.pth does not fit the model, .*net.0.weight'):
            hook.after_load_checkpoint(runner, {'state_dict': wrong})


def test_a_copied_run_deletes_no_file_of_its_original(planted, saved, tmp_path):
    """MMEngine removes the best checkpoint and those too many by the names in the state that it resumes."""
    best, victim, old = tmp_path / 'best_loss_epoch_1.pth', tmp_path / 'victim.pth', tmp_path / 'run' / 'epoch_7.pth'
    (tmp_path / 'run' / 'epoch_').mkdir(parents=True)
    for file in (best, victim, old):
        file.write_text('precious')

    def change(content):
        info, resumed = content['message_hub']['runtime_info'], content['message_hub']['resumed_keys']
        info.update(best_ckpt=str(best), keep_ckpt_ids=['/../../victim', 7, 8, 9])
        resumed.update(best_ckpt=True, keep_ckpt_ids=True)

    info = run(tmp_path / 'run', 2, planted(change)).message_hub.runtime_info
    assert info['best_ckpt'] == str(tmp_path / 'run' / best.name)
    assert best.is_file() and victim.is_file()
    assert not old.exists()  # of this run, and one too many


@pytest.fixture
def with_code(tmp_path):
    """A function that puts Python text where MMEngine executes it; it leaves a file behind."""

    def plant(content):
        content['meta']['config'] = f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).write_text('')\nx = 1"

    return plant


@pytest.mark.parametrize('way', ['by its path', 'from the work folder'])
def test_text_in_a_checkpoint_is_not_executed(way, planted, with_code, tmp_path):
    path = planted(with_code)
    if way == 'from the work folder':
        (tmp_path / 'run').mkdir()
        path.rename(tmp_path / 'run' / 'epoch_1.pth')
    assert run(tmp_path / 'run', 2, path if path.exists() else '').iter == 6
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('tool', ["the host's own", 'uscl train, and the config knows nothing of this package'])
def test_nor_by_the_tools(tool, run_config, with_code, tmp_path, monkeypatch):
    Runner.from_cfg(run_config(1)).train()
    path = tmp_path / 'run' / 'epoch_1.pth'
    content = torch.load(path, weights_only=True)
    with_code(content)
    torch.save(content, path)
    cfg = run_config(2)
    if tool.startswith('uscl'):
        del cfg.default_hooks['plain_checkpoint']
    cfg.dump(tmp_path / 'config.py')
    arguments = [str(tmp_path / 'config.py'), '--work-dir', str(tmp_path / 'run'), '--resume', str(path)]
    if tool.startswith('uscl'):
        run_host_tool('train', arguments)
    else:
        script = str(host_tool('mmpretrain', 'train'))
        monkeypatch.setattr(sys, 'argv', [script, *arguments])
        runpy.run_path(script, run_name='__main__')
    assert (tmp_path / 'run' / 'epoch_2.pth').exists() and not (tmp_path / 'ran').exists()
