"""Runs on several processes without a GPU: what is started, what is refused, and the real command."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from datetime import timedelta

import pytest
import torch
from mmengine.config import Config
from torch import distributed as dist

from uscl_plugin.running import launch as distributed
from uscl_plugin.running.host_tools import run_host_tool
from uscl_plugin.running.launch import LaunchError, check_launch, cpu_wrapper_options, process_group, slurm_environment
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

VARIABLES = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')
OWN_WRAPPER = 'model_wrapper_cfg.device_ids=None'


@pytest.fixture
def alone(monkeypatch, free_port):
    """A function that sets a launcher's variables for a single process on a machine without GPU."""
    for name in VARIABLES:
        monkeypatch.setenv(name, '')  # so that whatever is set later is forgotten
        monkeypatch.delenv(name)
    monkeypatch.setattr(distributed, 'get_device', lambda: 'cpu')

    def launch(launcher):
        if launcher == 'slurm':
            variables = dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_NODELIST='n[1-2]', SLURM_LOCALID='0')
        else:
            variables = dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0')
        variables |= dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return launch


@pytest.fixture
def config(tmp_path):
    """A function that writes a config."""

    def write(text=''):
        path = tmp_path / 'config.py'
        path.write_text(f"default_scope = 'mmpretrain'\nenv_cfg = dict(dist_cfg=dict(backend='nccl'))\n{text}\n")
        return path

    return write


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm'])
def test_gloo_and_a_wrapper_without_device_while_the_tool_runs(alone, config, launcher, monkeypatch):
    alone(launcher)
    argv = ['c.py', f'--launcher={launcher}', '--cfg-options', 'env_cfg.dist_cfg.timeout=77', 'a.b=1']
    timeouts, init = [], dist.init_process_group
    monkeypatch.setattr(dist, 'init_process_group', lambda *a, **k: (timeouts.append(k['timeout']), init(*a, **k)))
    with process_group(config('find_unused_parameters = True'), argv) as found:
        assert dist.get_backend() == 'gloo'
        assert os.environ['LOCAL_RANK'] == '0'
    assert not dist.is_initialized() and timeouts == [timedelta(seconds=77)]
    assert found[: len(argv) + 1] == [*argv, '--cfg-options']
    assert sorted(found[len(argv) + 1 :]) == [
        'model_wrapper_cfg.broadcast_buffers=False',
        OWN_WRAPPER,
        'model_wrapper_cfg.find_unused_parameters=True',
        'model_wrapper_cfg.type=MMDistributedDataParallel',
    ]


def test_group_ends_with_a_failing_tool(alone, config):
    alone('pytorch')
    with pytest.raises(ZeroDivisionError), process_group(config(), ['--launcher', 'pytorch']):
        raise ZeroDivisionError
    assert not dist.is_initialized()


@pytest.mark.parametrize(('device', 'argv'), [('cuda', ['--launcher', 'pytorch']), ('cpu', []), ('npu', [])])
def test_nothing_changes_with_an_accelerator_or_without_launcher(alone, config, monkeypatch, device, argv):
    alone('pytorch')
    monkeypatch.setattr(distributed, 'get_device', lambda: device)
    with process_group(config(), argv) as found:
        assert found == argv and not dist.is_initialized()


def test_apple_gpu_is_refused(alone, config, monkeypatch):
    alone('pytorch')
    monkeypatch.setattr(distributed, 'get_device', lambda: 'mps')
    with (
        pytest.raises(distributed.LaunchError, match='--launcher'),
        process_group(config(), ['--launcher', 'pytorch']),
    ):
        pass


@pytest.mark.parametrize(
    ('wrapper', 'added'),
    [
        (dict(broadcast_buffers=True), [OWN_WRAPPER]),
        (dict(type='MMDistributedDataParallel'), [OWN_WRAPPER]),
        (dict(device_ids=None), []),
        (dict(type='MMFullyShardedDataParallel'), []),
    ],
)
def test_a_wrapper_of_the_config_is_kept(wrapper, added):
    assert cpu_wrapper_options(Config(dict(model_wrapper_cfg=wrapper))) == added


@pytest.mark.parametrize(
    ('variables', 'launcher', 'text'),
    [
        ({}, 'pytorch', 'RANK, WORLD_SIZE, LOCAL_RANK .*torchrun'),
        (dict(RANK='0', WORLD_SIZE='2'), 'pytorch', ' LOCAL_RANK '),
        (dict(RANK='0', WORLD_SIZE='2', LOCAL_RANK='0'), 'slurm', 'SLURM_NODELIST .* srun'),
        (dict(TORCHELASTIC_RUN_ID='x', WORLD_SIZE='2'), 'none', '2 processes.*--launcher pytorch'),
    ],
)
def test_launches_that_would_fail_or_train_twice(variables, launcher, text):
    with pytest.raises(LaunchError, match=text):
        check_launch(launcher, variables)


@pytest.mark.parametrize('variables', [{}, dict(WORLD_SIZE='4'), dict(TORCHELASTIC_RUN_ID='x', WORLD_SIZE='1')])
def test_one_process_needs_no_launcher(variables):
    check_launch('none', variables)


def test_command_without_torchrun_says_so_in_one_line(alone, config, capsys):
    assert run_host_tool('train', [str(config()), '--launcher', 'pytorch']) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: --launcher pytorch ') and error.count('\n') == 1


@pytest.mark.parametrize(
    ('text', 'launcher', 'message'),
    [("sync_bn = 'torch'", 'pytorch', "sync_bn='torch' "), ('', 'mpi', 'pytorch, slurm')],
)
def test_what_a_cpu_cannot_do(alone, config, text, launcher, message):
    alone(launcher)
    with pytest.raises(LaunchError, match=message), process_group(config(text), ['--launcher', launcher]):
        pass


def test_slurm_names_the_first_node(tmp_path, monkeypatch):
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames n[7-8]" ] && printf "n7\\nn8\\n"\n')
    scontrol.chmod(scontrol.stat().st_mode | stat.S_IEXEC)
    slurm = dict(SLURM_PROCID='3', SLURM_NTASKS='4', SLURM_NODELIST='n[7-8]', SLURM_LOCALID='1')
    monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)
    expected = dict(RANK='3', WORLD_SIZE='4', LOCAL_RANK='1', MASTER_ADDR='n7', MASTER_PORT='29500')
    assert slurm_environment(slurm) == expected
    own = dict(MASTER_ADDR='head', MASTER_PORT='1234')
    assert slurm_environment(slurm | own) == expected | own
    monkeypatch.setenv('PATH', '')
    with pytest.raises(LaunchError, match=r"'n\[7-8\]'.*MASTER_ADDR"):
        slurm_environment(slurm)


NOTE_HOOK = """
from pathlib import Path
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class NoteHook(Hook):
    def before_train(self, runner):
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append([sample.get('video_id') for sample in data_batch['data_samples']])

    def after_train(self, runner):
        weights = {name: value.detach() for name, value in runner.model.module.named_parameters()}
        found = dict(steps=self.steps, weights=weights)
        torch.save(found, Path(runner.work_dir) / f'rank{get_rank()}.pt')
"""


DIES_HOOK = """
import os, signal
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class DiesHook(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 1 and get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_process_ends_the_other_one_with_one_line(tmp_path, run_config, patients, root, free_port):
    """Without torchrun, which would end it."""
    (tmp_path / 'dies_hook.py').write_text(DIES_HOOK)
    cfg = run_config(2, **{'train_dataloader.dataset.data_root': str(patients), 'model.head.num_classes': 3})
    cfg.custom_imports.imports.append('dies_hook')
    cfg.custom_hooks = [dict(type='DiesHook')]
    cfg.dump(tmp_path / 'config.py')
    shared = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    shared |= dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='', WORLD_SIZE='2', MASTER_ADDR='127.0.0.1')
    shared |= {'MASTER_PORT': str(free_port), 'PYTHONPATH': f'{tmp_path}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'}
    command = [sys.executable, root / 'tools' / 'train.py', tmp_path / 'config.py', '--launcher', 'pytorch']
    ranks = [
        subprocess.Popen(command, env=shared | {'RANK': rank, 'LOCAL_RANK': rank}, stderr=subprocess.PIPE, text=True)
        for rank in '01'
    ]
    shown = ranks[0].communicate(timeout=300)[1]
    assert ranks[1].wait(60) == -signal.SIGKILL and ranks[0].returncode == 1
    assert shown.splitlines()[-1].startswith('error: another process of this run ended') and 'Traceback' not in shown


@pytest.fixture
def torchrun(tmp_path, run_config, patients, root, free_port):
    """A function that runs the command on two processes: 18 videos, batches of four a process, two epochs."""
    (tmp_path / 'note_hook.py').write_text(NOTE_HOOK)

    def start(name, *arguments):
        cfg = run_config(2, name, **{'train_dataloader.dataset.data_root': str(patients)})
        cfg.merge_from_dict({'model.head.num_classes': 3, 'train_dataloader.dataset.label_fraction': 0.3})
        cfg.custom_imports.imports.append('note_hook')
        cfg.custom_hooks = [dict(type='NoteHook')]
        # Only the first process reports:
        cfg.default_hooks.held_out.update(data_root=str(patients), split=None, interval=2)
        cfg.dump(tmp_path / f'{name}.py')
        environment = {key: value for key, value in os.environ.items() if key not in VARIABLES}
        environment |= dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
        environment['PYTHONPATH'] = os.pathsep.join([str(tmp_path), os.environ.get('PYTHONPATH', '')])
        command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node', '2']
        command += ['--master_port', str(free_port), root / 'tools' / 'train.py', tmp_path / f'{name}.py']
        done = subprocess.run(
            [*command, '--launcher', 'pytorch', *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        work_dir = tmp_path / name
        ranks = [torch.load(work_dir / f'rank{rank}.pt', weights_only=True) for rank in range(2)]
        return work_dir, ranks, done.stdout

    return start


@pytest.mark.slow
def test_the_command_on_two_processes_and_its_resumption(torchrun, tmp_path):
    work_dir, ranks, out = torchrun('whole')
    assert sorted(path.name for path in work_dir.glob('*.pth')) == ['epoch_1.pth', 'epoch_2.pth']
    lines = [line for line in out.splitlines() if 'Epoch(train)' in line]
    assert len(lines) == 4, lines  # two steps an epoch, printed once
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    logged = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert sum('held_out/gap' in entry for entry in logged) == 1

    assert [[len(step) for step in rank['steps']] for rank in ranks] == [[4] * 4] * 2
    for epoch in (slice(0, 2), slice(2, 4)):
        videos = [video for rank in ranks for step in rank['steps'][epoch] for video in step]
        assert len(set(videos)) == len(videos) == 16
    saved = load_plain_checkpoint(work_dir / 'epoch_2.pth')['state_dict']
    for name, weight in ranks[0]['weights'].items():
        assert torch.equal(weight, ranks[1]['weights'][name]) and torch.equal(weight, saved[name]), name

    (tmp_path / 'half').mkdir()
    shutil.copy(work_dir / 'epoch_1.pth', tmp_path / 'half')
    _, resumed, out = torchrun('half', '--resume')
    assert 'resumed epoch: 1, iter: 2' in out
    assert [rank['steps'] for rank in resumed] == [rank['steps'][2:] for rank in ranks]
    for rank in resumed:
        for name, weight in rank['weights'].items():
            torch.testing.assert_close(weight, ranks[0]['weights'][name])
