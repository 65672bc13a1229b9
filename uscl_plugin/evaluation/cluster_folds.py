"""Run the unfinished folds of evaluations on a cluster: workers compute them, and this process alone keeps them."""

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from uscl.core.cluster import Cluster
from uscl.data.array_cache import FOLDER as CACHE
from uscl_plugin.measures.backbone_health import BackboneHealth

from .cross_validation import CrossValidation
from .finetuning import FoldOutcome
from .host_setup import set_up_hosts

LOST = 'its workers were killed several times, mostly for lack of memory: give each more, or run fewer on a machine'
_FoldTask = tuple[CrossValidation, str, int, int]


def run_folds(
    validations: Sequence[CrossValidation], cluster: Cluster, report: Callable[[str], None]
) -> dict[int, str]:
    """Finish the folds of cross-validations, so that their own :meth:`~.CrossValidation.run` finds all of them.

    Args:
        validations: The cross-validations.
        cluster: Where to run.
        report: Called with a line for each finished fold.

    Returns:
        Index of a validation → what failed first in it; the others are complete.
    """
    failed: dict[int, str] = {}
    methods = [(index, method) for index, each in enumerate(validations) for method in each.methods]
    tasks: list[tuple[int, _FoldTask]] = []
    for validation in validations:
        validation.write_folds()
    prepared = cluster.run(_prepare, [(validations[index], method) for index, method in methods])
    for number, result in prepared:
        index, method = methods[number]
        if not isinstance(result, tuple):
            failed.setdefault(index, result or f'{method}: {LOST}')
            continue
        unfinished, health = result
        validations[index].note_health(method, health)
        tasks += [(index, (validations[index], method, seed, fold)) for seed, fold in unfinished]
    tasks = [task for task in sorted(tasks, key=lambda task: (task[0], task[1][2:])) if task[0] not in failed]
    for number, result in cluster.run(_run_fold, [task for _, task in tasks]):
        index, (validation, method, seed, fold) = tasks[number]
        where, cell = validation.where(method, seed, fold), validation.cell(method, seed, fold)
        if not isinstance(result, tuple):
            failed.setdefault(index, f'{where}: {result or LOST}')
            continue
        folder, outcome, fingerprint, seconds = result
        shutil.rmtree(cell.folder, ignore_errors=True)  # of an earlier run that was killed
        folder.rename(cell.folder)
        validation.keep(cell, outcome, fingerprint, seconds)
        report(f'{where}: {seconds:.1f} s')
    for folder in [each for validation in validations for each in validation.out.glob('cells/*/*/.fold*')]:
        shutil.rmtree(folder, ignore_errors=True)  # of workers that were killed
    for validation in validations:
        shutil.rmtree(_cache_of(validation), ignore_errors=True)
    return failed


def describe_error(error: Exception) -> str:
    """An error of a task as a comparison shows it; its traceback stays on the worker."""
    return str(error) if isinstance(error, OSError | ValueError | AssertionError) else repr(error)


def _set_up(validation: CrossValidation) -> None:
    set_up_hosts()
    os.environ[CACHE] = str(_cache_of(validation))  # the user's may not be shared between machines


def _cache_of(validation: CrossValidation) -> Path:
    return validation.out.absolute() / '.cluster-cache'


def _prepare(task: tuple[CrossValidation, str]) -> tuple[list[tuple[int, int]], BackboneHealth] | str:
    """(Seed, fold) of all unfinished folds of a method, and what its backbone uses; or what failed."""
    validation, method = task
    _set_up(validation)
    try:
        return validation.prepare(method)
    except Exception as error:  # other methods go on
        return describe_error(error)


def _run_fold(task: _FoldTask) -> tuple[Path, FoldOutcome, dict[str, Any], float] | str:
    """The folder of the model and the results; or what failed."""
    validation, method, seed, fold = task
    _set_up(validation)
    wanted = validation.cell(method, seed, fold).folder
    # Another one each time: a worker that was given up may still be writing.
    folder = wanted.with_name(f'.{wanted.name}-{secrets.token_hex(4)}')
    folder.mkdir(parents=True)
    try:
        return folder, *validation.run_fold(method, seed, fold, folder)
    except Exception as error:  # other folds go on
        shutil.rmtree(folder, ignore_errors=True)
        return describe_error(error)
