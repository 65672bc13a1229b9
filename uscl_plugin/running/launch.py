"""Train on several processes without a GPU, which MMEngine's launchers require."""

import argparse
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.device import get_device
from torch import distributed as torch_dist

# Launcher → the variables that MMEngine reads for it, and the command that sets them.
LAUNCHERS = {
    'pytorch': (('RANK', 'WORLD_SIZE', 'LOCAL_RANK'), 'torchrun --nproc_per_node 2 tools/train.py CONFIG'),
    'slurm': (('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'), 'srun --ntasks 2 python tools/train.py CONFIG'),
}
_WRAPPER = 'MMDistributedDataParallel'


class LaunchError(ValueError):
    """The processes of a run cannot find each other; the message is one sentence with the remedy."""


@contextmanager
def process_group(config: Path, argv: list[str]) -> Iterator[list[str]]:
    """Connect the processes started by a launcher where MMEngine cannot.

    MMEngine's launchers select a CUDA device before they start the process group, and its runner gives one to the
    wrapped model; the runner keeps both if they exist already. On a CPU-only machine, this therefore starts the group
    with gloo, adds a wrapper without a device to the tool's options, and destroys the group afterwards. No option is
    changed with a GPU, without a launcher, or if a process group exists.

    Args:
        config: The config file of the run.
        argv: The arguments of a host's tool. Their ``--cfg-options`` count like the config's own settings, of which
            ``env_cfg.dist_cfg`` (``backend``, ``timeout`` in seconds), ``model_wrapper_cfg`` and
            ``find_unused_parameters`` are respected.

    Yields:
        The arguments with which to run the tool.

    Raises:
        LaunchError: The launcher's environment variables are missing, or the run needs a GPU.
    """
    launcher, _ = launch_options(argv)
    check_launch(launcher, os.environ)
    if launcher != 'none' and get_device() == 'mps':
        raise LaunchError(
            '--launcher needs CUDA or a CPU, and this is an Apple GPU: remove it to train in one process.'
        )
    if launcher == 'none' or torch_dist.is_initialized() or get_device() != 'cpu':
        yield argv
        return
    if launcher not in LAUNCHERS:
        raise LaunchError(f'--launcher {launcher} needs GPUs: on a CPU, use one of {", ".join(LAUNCHERS)}.')
    cfg = merged_config(config, argv)
    wrapper = cpu_wrapper_options(cfg)
    if launcher == 'slurm':
        os.environ.update(slurm_environment(os.environ))
    dist_cfg = (cfg.get('env_cfg') or {}).get('dist_cfg') or {}
    backend, timeout = dist_cfg.get('backend', 'nccl'), dist_cfg.get('timeout')
    torch_dist.init_process_group(
        'gloo' if backend == 'nccl' else backend, timeout=None if timeout is None else timedelta(seconds=timeout)
    )
    try:
        yield [*argv, '--cfg-options', *wrapper] if wrapper else argv
    finally:
        torch_dist.destroy_process_group()


def merged_config(config: Path, argv: list[str]) -> Config:
    """A config with the ``--cfg-options`` among the arguments of a host's tool; its modules are not imported."""
    cfg = Config.fromfile(config, import_custom_modules=False)
    cfg.merge_from_dict(launch_options(argv)[1])
    return cfg


def check_launch(launcher: str, environ: Mapping[str, str]) -> None:
    """Reject a launch that would end in a lookup error, or in several unconnected runs.

    Args:
        launcher: 'none', or the value of ``--launcher``.
        environ: The environment variables.

    Raises:
        LaunchError: The variables of the launcher are missing, or torchrun started several processes without it.
    """
    world_size = environ.get('WORLD_SIZE', '1')
    if launcher == 'none' and 'TORCHELASTIC_RUN_ID' in environ and world_size != '1':
        raise LaunchError(
            f'torchrun started {world_size} processes, but without --launcher each would train a separate model in '
            f'the same folder: add --launcher pytorch.'
        )
    names, command = LAUNCHERS.get(launcher, ((), ''))
    missing = [name for name in names if name not in environ]
    if missing:
        raise LaunchError(
            f'--launcher {launcher} found no {", ".join(missing)} in the environment: start the run with '
            f'{command} --launcher {launcher}, or remove --launcher to train in one process.'
        )


def cpu_wrapper_options(cfg: Config) -> list[str]:
    """Options that give the runner a model wrapper without a device, and otherwise its defaults.

    Args:
        cfg: Config of the run, with options merged.

    Returns:
        Arguments for ``--cfg-options``; none for a wrapper of another kind, or one whose devices are set.

    Raises:
        LaunchError: The run requests synchronised batch norm, which PyTorch only supports on GPUs.
    """
    if cfg.get('sync_bn') is not None:
        raise LaunchError(
            f'sync_bn={cfg.sync_bn!r} needs GPUs, because PyTorch cannot synchronise batch norm on a CPU: remove it.'
        )
    wrapper = cfg.get('model_wrapper_cfg')
    if wrapper is None:  # the runner's default with a GPU, except for the device
        wrapper_options = {
            'type': _WRAPPER,
            'broadcast_buffers': False,
            'find_unused_parameters': cfg.get('find_unused_parameters', False),
            'device_ids': None,
        }
    elif wrapper.get('type', _WRAPPER) == _WRAPPER and 'device_ids' not in wrapper:
        wrapper_options = {'device_ids': None}
    else:
        wrapper_options = {}
    return [f'model_wrapper_cfg.{name}={value}' for name, value in wrapper_options.items()]


def slurm_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Slurm's variables under the names that torch.distributed reads; the processes meet at the first node.

    Args:
        environ: The environment variables. MASTER_ADDR and MASTER_PORT (29500 if unset) are respected.

    Raises:
        LaunchError: MASTER_ADDR is not set, and Slurm's ``scontrol`` does not list the nodes.
    """
    address = environ.get('MASTER_ADDR')
    if address is None:
        nodes = environ['SLURM_NODELIST']
        try:
            listed = subprocess.run(
                ['scontrol', 'show', 'hostnames', nodes], capture_output=True, text=True, check=True
            ).stdout.split()
            address = listed[0]
        except (OSError, subprocess.CalledProcessError, IndexError) as error:
            raise LaunchError(
                f'scontrol does not list the nodes of {nodes!r} ({error}): set MASTER_ADDR to the first node.'
            ) from error
    return {
        'RANK': environ['SLURM_PROCID'],
        'WORLD_SIZE': environ['SLURM_NTASKS'],
        'LOCAL_RANK': environ.get('SLURM_LOCALID', '0'),
        'MASTER_ADDR': address,
        'MASTER_PORT': environ.get('MASTER_PORT', '29500'),
    }


def parse_cfg_options(values: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` texts as MMEngine's tools understand them.

    Raises:
        ValueError: A text has another form.
    """
    if wrong := next((value for value in values if '=' not in value), None):
        raise ValueError(f'--cfg-options {wrong} should be KEY=VALUE.')
    return launch_options(['--cfg-options', *values])[1] if values else {}


def launch_options(argv: list[str]) -> tuple[str, dict]:
    """Launcher and ``--cfg-options`` among the arguments of a host's tool, parsed as the tool does."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('--launcher', default='none')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    found, _ = parser.parse_known_args(argv)
    return found.launcher, found.cfg_options


def lost_process(error: BaseException) -> str | None:
    """What to say and to do if an error means that another process of the run has ended or hangs; None if it does not.

    >>> lost_process(RuntimeError('[…/gloo/transport/tcp/pair.cc:545] Read error: Connection reset by peer. …'))[:74]
    'another process of this run ended or hangs (Connection reset by peer): its'
    >>> lost_process(RuntimeError('another'))
    """
    is_gloo = isinstance(error, RuntimeError) and 'gloo/' in str(error)  # which has no type of error
    if not (is_gloo or isinstance(error, torch_dist.DistError)):
        return None
    found = re.search(r'Connection \w+ by peer|Connection \w+|Broken pipe|Timed out', str(error))
    how = found[0] if found else type(error).__name__
    return (
        f'another process of this run ended or hangs ({how}): its own output says why; start all of them again with '
        f'--resume.'
    )
