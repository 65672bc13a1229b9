"""Read the scalars logged by an MMEngine runner."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

_HELD_OUT = 'held_out/'


def find_scalars(checkpoint: str | Path) -> list[Path]:
    """The logs of all runs in the work directory of a checkpoint, oldest first.

    Args:
        checkpoint: ``WORK_DIR/epoch_N.pth``; its logs are in ``WORK_DIR/<timestamp>/vis_data/scalars.json``, or, after
            ``uscl pretrain``, below ``WORK_DIR/log``.

    Returns:
        Paths sorted by timestamp; a resumed run has one per start. Empty if there are none.
    """
    folder = Path(checkpoint).parent
    found = [path for pattern in ('*', 'log/*') for path in folder.glob(f'{pattern}/vis_data/scalars.json')]
    return sorted(found, key=lambda path: path.parts[-3:])


def read_scalars(paths: Sequence[str | Path]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Join the training curves of a run and its resumed parts.

    A later file replaces everything that earlier ones logged from its first iteration on. Lines without ``loss`` (those
    of validation) and a last line truncated by a crash are skipped; any line may lack a value.

    Args:
        paths: ``scalars.json`` files, oldest first, one JSON dict per line.

    Returns:
        For every key, iterations (n,) and values (n,), float64, ordered by iteration.

    Raises:
        ValueError: A line other than the last is not JSON.
    """
    return _join(paths, lambda line: 'loss' in line)


def read_held_out(paths: Sequence[str | Path]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Join what :class:`uscl_plugin.hooks.HeldOutHook` logged in a run and its resumed parts, as :func:`read_scalars`.

    Args:
        paths: ``scalars.json`` files, oldest first.

    Returns:
        For every measure, without ``held_out/``, epochs (n,) and values (n,), float64.

    Raises:
        ValueError: A line other than the last is not JSON.
    """
    curves = _join(paths, lambda line: any(key.startswith(_HELD_OUT) for key in line))
    return {key.removeprefix(_HELD_OUT): curve for key, curve in curves.items() if key.startswith(_HELD_OUT)}


def _join(paths: Sequence[str | Path], belongs: Callable[[dict], bool]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    lines: list[dict] = []
    for path in paths:
        newer = [line for line in read_lines(path) if belongs(line) and ('iter' in line or 'step' in line)]
        if newer:
            lines = [line for line in lines if _iteration(line) < _iteration(newer[0])] + newer
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for line in lines:
        for key, value in line.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                iterations, values = curves.setdefault(key, ([], []))
                iterations.append(_iteration(line))
                values.append(float(value))
    return {key: (np.array(iterations), np.array(values)) for key, (iterations, values) in curves.items()}


def read_lines(path: str | Path) -> list[dict]:
    """All entries of a ``scalars.json``, without a truncated last line.

    Raises:
        ValueError: A line other than the last is not JSON.
    """
    texts = [text for text in Path(path).read_text(encoding='utf-8').splitlines() if text.strip()]
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            lines.append(json.loads(text))
        except ValueError as error:
            if number == len(texts):
                break
            raise ValueError(f'{path}: entry {number} is not JSON ({error}): remove the entry or the file.') from error
    return lines


def _iteration(line: dict) -> float:
    return float(line['iter'] if 'iter' in line else line['step'])
