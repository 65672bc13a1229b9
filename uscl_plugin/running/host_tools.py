"""Run a host's packaged tool (training, testing) with a config of this package."""

import importlib
import importlib.util
import runpy
import sys
from contextlib import ExitStack
from pathlib import Path

from mmengine.config import Config

from uscl.core.errors import FolderInUseError
from uscl.core.lost_worker import lost_worker
from uscl_plugin.hooks.contrastive_monitor import CollapseError
from uscl_plugin.hooks.finite_loss import NonFiniteError
from uscl_plugin.hooks.hook_settings import hook_settings
from uscl_plugin.hooks.plain_checkpoint import PlainCheckpointHook
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import only_plain_checkpoints

from .launch import LaunchError, lost_process, merged_config, process_group
from .schedule_check import schedule_warning

# Import name of a host, which is also its default_scope → the extra and package that provide it.
HOSTS = {'mmpretrain': 'onedl-mmpretrain', 'mmdet': 'onedl-mmdetection'}
USAGE = {
    'train': 'usage: train.py CONFIG [--data-changed] [options of the host]',
    'test': 'usage: test.py CONFIG CKPT [options of the host]',
}
STAND_IN = 'uscl_plugin.compat.mmcv_ops'
DATA_CHANGED = '--data-changed'
PROTECTION = PlainCheckpointHook.__name__
_CONFIG_SUFFIXES = ('.py', '.json', '.yml', '.yaml')


class HostToolError(ValueError):
    """No tool can be run; the message is one sentence with the remedy."""


def find_config(argv: list[str]) -> Path | None:
    """The config among the arguments of a host's tool: the first non-option with a config's suffix."""
    candidates = (arg for arg in argv if not arg.startswith('-') and '=' not in arg)
    return next((Path(arg) for arg in candidates if arg.endswith(_CONFIG_SUFFIXES)), None)


def config_needs(config: Path) -> tuple[str, bool]:
    """The host that a config is for, and whether it requests the replacement for mmcv's compiled ops.

    Raises:
        FileNotFoundError: The config does not exist.
        HostToolError: Its ``default_scope`` is not a host.
    """
    if not config.is_file():
        raise FileNotFoundError(f'{config} does not exist: pass one of the files under configs/.')
    # Reading a setting does not need the modules that the config imports for a run.
    cfg = Config.fromfile(config, import_custom_modules=False)
    scope = cfg.get('default_scope')
    if scope not in HOSTS:
        raise HostToolError(
            f'{config} has default_scope {scope!r}, expected one of {", ".join(HOSTS)}: inherit from a '
            f'default_runtime of this package, or set default_scope.'
        )
    return scope, STAND_IN in (cfg.get('custom_imports') or {}).get('imports', [])


def host_tool(scope: str, tool: str) -> Path:
    """Path of a tool installed with a host.

    Args:
        scope: 'mmpretrain' or 'mmdet'.
        tool: 'train' or 'test'.

    Raises:
        HostToolError: The host is not installed, or is installed without its tools.
    """
    spec = importlib.util.find_spec(scope)  # does not import it
    if spec is None or not spec.submodule_search_locations:
        raise HostToolError(f'{scope} is not installed: install it, for example with pip install {HOSTS[scope]}.')
    path = Path(next(iter(spec.submodule_search_locations))) / '.mim' / 'tools' / f'{tool}.py'
    if not path.is_file():
        raise HostToolError(
            f'{scope} is installed without its tools, {path} does not exist: install its wheel, or run '
            f'tools/{tool}.py in your clone of it.'
        )
    return path


def run_host_tool(tool: str, argv: list[str]) -> int:
    """Run the tool of the host named by the config, in this process and with its arguments.

    With ``--launcher`` on a CPU-only machine, it starts the process group, see
    :func:`uscl_plugin.running.launch.process_group`; the arguments are otherwise passed on.

    ``--data-changed`` is an option of this package: resume although the training data have changed, see
    :class:`~uscl_plugin.hooks.provenance_hook.ProvenanceHook`.

    Checkpoints load without executing code, whatever the host requests, and a config without
    :class:`~uscl_plugin.hooks.plain_checkpoint.PlainCheckpointHook` gets it; see
    :func:`uscl_plugin.weights.plain_checkpoints.only_plain_checkpoints` for checkpoints that you trust.

    Args:
        tool: 'train' or 'test'.
        argv: The arguments, without the program name.

    Returns:
        The exit status: 0, or 1 with one line on standard error if nothing could be run, or if the run was ended by
        this package's hooks or by the loss of another process. Other exceptions of the tool, including
        ``SystemExit``, are passed on.
    """
    config = find_config(argv)
    if config is None and {'-h', '--help'} & set(argv):
        print(USAGE[tool] + '\n       --help after a CONFIG lists the options of its host')
        return 0
    with ExitStack() as stack:
        try:
            if config is None:
                raise HostToolError(f'no config among the arguments; {USAGE[tool]}')
            scope, needs_stand_in = config_needs(config)
            path = host_tool(scope, tool)
            cfg = merged_config(config, argv)
            if tool == 'train' and (warning := schedule_warning(cfg)):
                print(f'warning: {warning}', file=sys.stderr)
            added = []
            if not any(hook_settings(cfg, PROTECTION)):
                added.append(f'default_hooks.plain_checkpoint.type={PROTECTION}')
            if DATA_CHANGED in argv:
                if 'provenance' not in (cfg.get('default_hooks') or {}):
                    raise HostToolError(f'{config} has no default_hooks.provenance: remove {DATA_CHANGED}.')
                argv = [argument for argument in argv if argument != DATA_CHANGED]
                added.append('default_hooks.provenance.data_changed=True')
            argv = [*argv, '--cfg-options', *added] if added else argv
            argv = stack.enter_context(process_group(config, argv))
        except (FileNotFoundError, HostToolError, LaunchError) as error:
            print(f'error: {error}', file=sys.stderr)
            return 1
        if needs_stand_in:  # first, because MMDetection's tool imports the ops before it reads the config
            importlib.import_module(STAND_IN)
        # The hosts load `load_from`, `--resume` and `init_cfg` checkpoints, and would execute pickled code in them.
        only_plain_checkpoints()
        before, sys.argv = sys.argv, [str(path), *argv]
        try:
            runpy.run_path(str(path), run_name='__main__')
        except (CheckpointError, FolderInUseError, NonFiniteError, CollapseError) as error:
            print(f'error: {error}', file=sys.stderr)
            return 1
        except RuntimeError as error:
            if (reason := lost_worker(error) or lost_process(error)) is None:
                raise
            print(f'error: {reason}', file=sys.stderr)
            return 1
        finally:
            sys.argv = before
    return 0
