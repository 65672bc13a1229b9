"""Run one training in a separate process; keep it when finished, resume it when not."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from uscl.core.atomic_files import write_text
from uscl.core.digest import digest
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.run_checkpoints import newest_checkpoint, none_whole, numbered_checkpoints

TRAIN = (
    # A thread ends the training with the process that started it, of which it holds the other end of a pipe: one that
    # goes on would write to the folder in which another, on another machine, has resumed it.
    'import os, sys, threading; threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start(); '
    'from uscl_plugin.running.host_tools import run_host_tool; '
    'sys.exit(run_host_tool("train", sys.argv[1:]))'
)
# Entries in default_hooks that time, log, save and step; all others are part of the training, like the model.
_HOOKS_OF_THE_HOST = (
    *('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint'),
    'visualization',
)


class TrainingError(ValueError):
    """A training run failed; the message says how, and where its log is."""


@dataclass(frozen=True)
class FinishedTraining:
    """A training run that reached its last epoch.

    Attributes:
        checkpoint: Checkpoint of the last epoch; does not exist if it was not to be kept.
        steps: Number of optimiser steps.
        seconds: Wall-clock time of all its starts, except those that were killed.
        was_finished: Whether it had already finished before.
    """

    checkpoint: Path
    steps: int
    seconds: float
    was_finished: bool


def run_training(
    cfg: Config, folder: Path, depends_on: Mapping[str, Any] | None = None, keep_checkpoints: bool = True
) -> FinishedTraining:
    """Train with the packaged tool of the config's host, unless that has been done.

    ``folder`` receives ``config.py``, which runs on its own with ``tools/train.py``, ``train.log``, and, at the end,
    ``finished.json``. An unfinished run resumes from its newest loadable checkpoint. A run that includes an evaluation
    and was killed between its last checkpoint and the end repeats its last epoch, because MMEngine only evaluates what
    it trains.

    Args:
        cfg: The complete config, by epochs.
        folder: Work directory.
        depends_on: Further inputs that the result depends on, such as digests of files named in the config.
        keep_checkpoints: False deletes them at the end, for callers who only need the logs.

    Returns:
        The finished run.

    Raises:
        TrainingError: The process failed, none of its checkpoints loads, or the folder contains a run with another
            config or other data.
    """
    folder = folder.resolve()
    path, record = folder / 'config.py', folder / 'finished.json'
    cfg = Config(cfg.to_dict() | {'work_dir': str(folder)})
    text = cfg.pretty_text
    identity = digest(_essence(cfg, folder), json.dumps(depends_on))
    checkpoint = folder / f'epoch_{cfg.train_cfg.max_epochs}.pth'
    found = _read(record) or {}
    earlier = _read(folder / 'started.json')
    if earlier is not None and earlier.get('config') != identity:
        raise TrainingError(
            f'{folder} contains a training run with another config or other data: choose another --out, or delete it.'
        )
    if found.get('config') == identity and (checkpoint.is_file() or not keep_checkpoints):
        if not keep_checkpoints:
            _remove(numbered_checkpoints(folder))
        return FinishedTraining(checkpoint, found['steps'], found['seconds'], was_finished=True)
    before = float((earlier or {}).get('seconds', 0.0))
    write_text(path, text)
    write_text(folder / 'started.json', json.dumps({'config': identity, 'seconds': before}))
    command = [sys.executable, '-c', TRAIN, str(path), '--work-dir', str(folder)]
    if cfg.get('val_cfg'):
        _remove([checkpoint])
    if can_resume(folder):
        command.append('--resume')
    began = time.perf_counter()
    with (folder / 'train.log').open('a', encoding='utf-8') as log:
        streams: dict[str, Any] = dict(stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)
        with subprocess.Popen(command, **streams) as done:
            done.wait()
    seconds = before + time.perf_counter() - began
    write_text(folder / 'started.json', json.dumps({'config': identity, 'seconds': seconds}))
    if done.returncode or not checkpoint.is_file():
        raise TrainingError(f'{last_line(folder / "train.log")} (exit code {done.returncode}, {folder / "train.log"})')
    steps = int(load_plain_checkpoint(checkpoint)['meta']['iter'])
    if not steps:
        raise TrainingError(f'{folder} was trained for 0 steps: its data do not fill a batch.')
    write_text(record, json.dumps({'config': identity, 'steps': steps, 'seconds': seconds}) + '\n')
    if not keep_checkpoints:
        _remove(numbered_checkpoints(folder))
    return FinishedTraining(checkpoint, steps, seconds, was_finished=False)


def last_line(log: Path) -> str:
    """The last non-empty line of a log; for a traceback, its error."""
    lines = [line.strip() for line in log.read_text(encoding='utf-8', errors='replace').splitlines()]
    return next((line for line in reversed(lines) if line), 'the training wrote nothing')


def _essence(cfg: Config, folder: Path) -> str:
    """The config without settings that do not affect results: where and how to load, log and save."""
    content = cfg.to_dict()
    for key in ('work_dir', 'visualizer', 'log_processor', 'log_level'):
        content.pop(key, None)
    hooks = content.pop('default_hooks', None) or {}
    content['default_hooks'] = {name: hook for name, hook in hooks.items() if name not in _HOOKS_OF_THE_HOST}
    for key, loader in content.items():
        if key.endswith('_dataloader') and isinstance(loader, dict):
            for setting in ('num_workers', 'persistent_workers', 'prefetch_factor', 'pin_memory'):
                loader.pop(setting, None)
    # Not MMEngine's text of a config, whose layout depends on the yapf version. Files of the run may move with it.
    return json.dumps(content, sort_keys=True, default=str).replace(f'{folder}/', '')


def can_resume(folder: Path) -> bool:
    """Whether a folder has a checkpoint to resume from; updates MMEngine's pointer to it, which may name a missing one.

    Raises:
        TrainingError: There are checkpoints, but none can be used.
    """
    pointer, (newest, skipped) = folder / 'last_checkpoint', newest_checkpoint(folder)
    if newest is None:
        if skipped:
            raise TrainingError(none_whole(folder, skipped))
        pointer.unlink(missing_ok=True)
        return False
    write_text(pointer, str(newest))
    return True


def _remove(checkpoints: Sequence[Path]) -> None:
    for path in checkpoints:
        path.unlink(missing_ok=True)


def _read(path: Path) -> dict | None:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
