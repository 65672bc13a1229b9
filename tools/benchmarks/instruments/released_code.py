"""Import the authors' released code from a clone, isolated from other imports of this process."""

import contextlib
import importlib
import io
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import yaml

REPOSITORY = 'github.com/983632847/USCL'
FOLDER = 'train_USCL'
_DATA = 'data_aug.dataset_wrapper_Ultrasound_Video_Mixup'
_FILES = ('simclr.py', 'config.yaml', f'{_DATA.replace(".", "/")}.py', 'models/resnet_simclr.py', 'loss/nt_xent.py')
_PACKAGES = ('simclr', 'data_aug', 'models', 'loss')  # its top-level names, which may clash with others


@dataclass(frozen=True)
class ReleasedCode:
    """The parts of a clone that are used.

    Attributes:
        simclr: Module with the training loop.
        data: Module with the dataset and the augmentations.
        config: Contents of its ``config.yaml``.
        commit: Commit of the clone; None if unknown to git.
    """

    simclr: ModuleType
    data: ModuleType
    config: dict[str, Any]
    commit: str | None


def import_released(clone: str | Path) -> ReleasedCode:
    """Import the released code.

    Args:
        clone: The folder that holds ``train_USCL``.

    Returns:
        Its modules; ``sys.path``, ``sys.modules`` and the global generators are restored.

    Raises:
        ValueError: The folder is not such a clone, or the code cannot be imported.
    """
    folder = Path(clone).expanduser() / FOLDER
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f'{clone} is not a clone of the authors\' code, it has no {FOLDER}/{missing[0]}: run "git clone '
            f'https://{REPOSITORY}" and pass the resulting folder.'
        )
    try:
        with _isolated(folder), quiet():
            simclr, data = importlib.import_module('simclr'), importlib.import_module(_DATA)
    except ImportError as error:
        raise ValueError(
            f'{folder} cannot be imported ({error}): install its requirements next to uscl_plugin.'
        ) from error
    config = yaml.safe_load((folder / 'config.yaml').read_text(encoding='utf-8'))
    return ReleasedCode(simclr, data, config, _commit_of(folder))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what the released code prints, and warnings of newer libraries about it."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        yield


@contextlib.contextmanager
def _isolated(folder: Path) -> Iterator[None]:
    def named() -> list[str]:
        return [name for name in sys.modules if name.split('.')[0] in _PACKAGES]

    path, others = sys.path[:], {name: sys.modules.pop(name) for name in named()}
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()  # the released modules set seeds on import
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path[:] = path
        for name in named():
            del sys.modules[name]
        sys.modules.update(others)
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])


def _commit_of(folder: Path) -> str | None:
    try:
        done = subprocess.run(
            ['git', '-C', str(folder), 'rev-parse', 'HEAD'], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
