"""Checkpoints that load everywhere without executing pickled code; other or damaged ones are rejected."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from uscl.core.errors import FolderInUseError
from uscl.core.folder_lock import lock_folder
from uscl_plugin.compat.bare_model import bare_model
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint, loads_only_plain, only_plain_checkpoints
from uscl_plugin.weights.plain_types import to_plain
from uscl_plugin.weights.run_checkpoints import load_resumable, newest_checkpoint, none_whole, remove_leftovers

from .resumed_state import check_resumed, check_started, check_tested

_LOCKS: dict[str, ExitStack] = {}  # held by this process, by work folder


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Make every checkpoint of the run plain, load no others, and keep other runs out of its work folder.

    **Saving.** MMEngine stores smoothed log values as pickled objects, which ``torch.load`` rejects since version 2.6,
    so that mmengine 0.10.7 cannot resume from its own checkpoints there. Those histories are dropped (after resuming,
    log smoothing starts again); weights, optimiser, schedulers and the run's state (``runtime_info``) are kept, as
    tensors and plain Python types.

    **Loading.** MMEngine falls back to executing pickled code. Before the runner reads anything, the files in
    ``load_from``, ``resume`` and every ``init_cfg=dict(type='Pretrained', …)`` are checked, and pickled code is
    forbidden in the whole process; see :func:`~uscl_plugin.weights.plain_checkpoints.only_plain_checkpoints` for files
    that you trust.

    **Resuming** without a path (``--resume``) starts from the newest undamaged checkpoint, logs which newer ones it
    skips and why, and stops if all are damaged. With several processes, the first one chooses for all. Model, averages,
    optimiser and schedulers must fit, see :func:`.resumed_state.check_resumed`; in a test, the model. MMEngine would
    execute ``meta['config']`` of a resumed checkpoint, which is dropped, and delete the files that its state names as
    the best and the oldest ones, of which only those of this run are left.

    **Exclusive work folder.** A training run locks its work folder from start to end, see
    :func:`uscl.core.folder_lock.lock_folder`; a test run does not. An interrupted training run in the same process does
    not block later ones.

    Raises:
        FolderInUseError: Another process is training in the work folder.
        CheckpointError: A file contains code, is damaged, or does not fit; the message names it.
        FileNotFoundError: A file does not exist.
    """

    priority = 'LOWEST'  # after every hook that adds to the checkpoint

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def before_run(self, runner: Runner) -> None:
        """Lock the work folder, choose the checkpoint to resume from, and check everything the runner will load."""
        if _trains(runner):
            _lock_work_dir(runner)
        only_plain_checkpoints()
        if runner._resume and runner._load_from is None and not any(map(_is_remote, _checkpoint_hooks(runner))):
            runner._load_from = _newest_of_all(runner)
            if runner._load_from is None:
                runner._resume = False  # otherwise MMEngine would follow last_checkpoint blindly
                runner.logger.warning(
                    f'{runner.work_dir} has no checkpoint to resume from: the run starts from scratch.'
                )
        if loads_only_plain():
            for path in _local_files(runner):
                file = Path(path).expanduser()
                # Here, as other hooks load it before this one.
                if runner._resume and _trains(runner) and path == runner._load_from:
                    check_resumed(runner, load_resumable(file), file)
                else:
                    load_plain_checkpoint(file)
        for hook in _checkpoint_hooks(runner):
            if hook.max_keep_ckpts == 1:
                runner.logger.warning(
                    'max_keep_ckpts=1: MMEngine deletes the only checkpoint before it writes the next, so a run '
                    'killed in between has none: keep 2.'
                )

    def after_run(self, runner: Runner) -> None:
        """Release the work folder."""
        _LOCKS.pop(runner.work_dir, ExitStack()).close()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check that it fits, wherever it came from, and drop what MMEngine would execute or delete."""
        meta, path = checkpoint.get('meta'), runner._load_from or 'the checkpoint'
        if isinstance(meta, dict) and meta.pop('config', None) is not None:
            runner.logger.warning(f'{path}: meta.config is ignored, as MMEngine would execute it.')
        if runner._resume and _trains(runner):
            check_resumed(runner, checkpoint, path)
            _name_only_own(runner, checkpoint['message_hub'].get('runtime_info', {}))
        else:
            (check_started if _trains(runner) else check_tested)(runner, checkpoint, path)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Make ``checkpoint`` plain, in place; the runner's own objects are not changed.

        Args:
            runner: Its logger reports, once per place, what else had to be left out.
            checkpoint: The checkpoint about to be saved.
        """

        def report(where: str, value: Any) -> None:
            if where not in self._reported:
                self._reported.add(where)
                runner.logger.warning(f'{where} ({type(value).__qualname__}) has no plain form and is not saved.')

        plain = to_plain(checkpoint, unknown=report)
        if 'message_hub' in plain:
            plain['message_hub'] = _without_orphans(plain['message_hub'])
        checkpoint.clear()
        checkpoint.update(plain)


def _trains(runner: Runner) -> bool:
    return isinstance(runner._train_loop, BaseLoop)  # only built by Runner.train


def _lock_work_dir(runner: Runner) -> None:
    """Lock the work folder in the first process; if it is in use, all processes stop."""
    failure: list[str | None] = [None]
    if is_main_process():
        _LOCKS.pop(runner.work_dir, ExitStack()).close()  # left by an interrupted run that never reached after_run
        lock = _LOCKS[runner.work_dir] = ExitStack()
        try:
            lock.enter_context(lock_folder(runner.work_dir, 'training', runner.logger.warning))
        except FolderInUseError as error:  # the other processes are waiting for an answer
            failure = [str(error)]
    broadcast_object_list(failure)
    if failure[0] is not None:
        raise FolderInUseError(failure[0])


def _without_orphans(message_hub: dict) -> dict:
    """Drop ``resumed_keys`` whose value was dropped, since MMEngine would warn about each of them on resuming."""
    scalars, info = message_hub.get('log_scalars', {}), message_hub.get('runtime_info', {})
    resumed = {
        key: value for key, value in message_hub.get('resumed_keys', {}).items() if key in scalars or key in info
    }
    # MessageHub.load_state_dict asserts that all three are there.
    return {**message_hub, 'log_scalars': scalars, 'runtime_info': info, 'resumed_keys': resumed}


def _checkpoint_hooks(runner: Runner) -> list[CheckpointHook]:
    return [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]


def _is_remote(hook: CheckpointHook) -> bool:
    return '://' in str(hook.out_dir)  # left to MMEngine


def _folder(runner: Runner, hook: CheckpointHook) -> str:
    """Where a hook saves; as MMEngine finds it in before_train, which comes later."""
    if hook.out_dir in (None, runner.work_dir):
        return runner.work_dir
    return str(Path(hook.out_dir, Path(runner.work_dir).name))


def _name_only_own(runner: Runner, info: dict) -> None:
    """Let the state of a resumed run only name files of this run: MMEngine deletes those of a copied run, or any."""
    folders = [_folder(runner, hook) for hook in _checkpoint_hooks(runner) if not _is_remote(hook)]
    for key, value in info.items():
        if key.startswith('best_ckpt') and value is not None and folders:
            name = Path(str(value)).name
            info[key] = str(Path(folders[0], name)) if name.startswith('best_') else None
    if 'keep_ckpt_ids' in info:
        info['keep_ckpt_ids'] = [number for number in info['keep_ckpt_ids'] if type(number) is int]


def _newest_of_all(runner: Runner) -> str | None:
    """The checkpoint from which all processes resume; None if the run has none yet."""
    choice: list[tuple[str | None, str | None]] = [(None, None)]  # path, error
    if is_main_process():
        try:
            choice = [_newest(runner)]
        except OSError as failure:  # the other processes are waiting for an answer
            choice = [(None, str(failure))]
    broadcast_object_list(choice)
    path, error = choice[0]
    if error is not None:
        raise CheckpointError(error)
    return path


def _newest(runner: Runner) -> tuple[str | None, str | None]:
    all_skipped = []
    for hook in _checkpoint_hooks(runner):
        folder = _folder(runner, hook)
        remove_leftovers(folder, hook.filename_tmpl)
        path, skipped = newest_checkpoint(folder, hook.filename_tmpl)
        for reason in skipped:
            runner.logger.warning(f'skipped on resuming: {reason}')
        if path is not None:
            return str(path), None
        all_skipped += skipped
    return None, none_whole(runner.work_dir, all_skipped) if all_skipped else None


def _local_files(runner: Runner) -> Iterator[str]:
    """Local files that the runner will load; addresses such as ``https://…`` are left to MMEngine."""
    paths = [runner._load_from]
    for module in bare_model(runner).modules():
        steps = getattr(module, 'init_cfg', None) or []
        paths += [step.get('checkpoint') for step in ([steps] if isinstance(steps, dict) else steps)]
    for path in dict.fromkeys(filter(None, paths)):
        if '://' not in str(path):
            yield path
