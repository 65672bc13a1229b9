"""Logs of detector runs: loss and AP by epoch, and statistics over several runs of a method."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from uscl.core.config_literals import config_literals

from .training_log import find_scalars, read_lines, read_scalars

# Key in MMDetection's log → name. Measures that a run lacks (masks, for Faster R-CNN) are left out.
MEASURES = {
    'coco/bbox_mAP': 'box AP',
    'coco/bbox_mAP_50': 'box AP50',
    'coco/segm_mAP': 'mask AP',
    'coco/segm_mAP_50': 'mask AP50',
}


@dataclass(frozen=True)
class DetectionRun:
    """One training run.

    Attributes:
        work_dir: Work directory.
        loss: Epoch → mean of the logged losses.
        measures: Name (see :data:`MEASURES`) → epoch → value in [0, 1].
        num_images: Number of evaluated images; None if the annotation file no longer exists.
    """

    work_dir: Path
    loss: dict[int, float]
    measures: dict[str, dict[int, float]]
    num_images: int | None

    @property
    def last_epoch(self) -> int:
        """The last evaluated epoch."""
        return max(max(values) for values in self.measures.values())


def read_run(work_dir: str | Path) -> DetectionRun:
    """Read the logs of a run and of its resumed parts.

    Raises:
        ValueError: The run has no evaluation, or a log is damaged.
    """
    folder = Path(work_dir)
    logs = find_scalars(folder / 'epoch.pth')
    by_epoch: dict[int, dict] = {}
    for log in logs:
        newer = _evaluations(log)
        # A resumed or restarted run replaces everything logged from its first epoch on, evaluated or not.
        first = min([*newer, *_losses([log])], default=None)
        if first is not None:
            by_epoch = {epoch: line for epoch, line in by_epoch.items() if epoch < first} | newer
    measures = {}
    for key, name in MEASURES.items():
        values = {epoch: float(line[key]) for epoch, line in by_epoch.items() if _defined(line.get(key))}
        if values:
            measures[name] = values
    if not measures:
        found = 'the folder does not exist' if not folder.is_dir() else f'{len(logs)} logs, */vis_data/scalars.json'
        raise ValueError(
            f'{folder} has no evaluation of a detector ({found}): pass the --work-dir of a run of tools/train.py that '
            f'has finished at least one epoch with evaluation (val_dataloader, LesionCocoMetric).'
        )
    return DetectionRun(folder, _losses(logs), measures, _num_images(logs))


def _evaluations(log: Path) -> dict[int, dict]:
    """Epoch → line of its evaluation, ignoring those of tools/test.py (step 0) and a truncated last line."""
    lines = [line for line in read_lines(log) if line.get('step', 0) >= 1 and any(key in line for key in MEASURES)]
    return {int(line['step']): line for line in lines}


def _defined(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value) and value >= 0  # -1: no lesions


def _losses(logs: Sequence[Path]) -> dict[int, float]:
    curves = read_scalars(logs)
    if 'loss' not in curves or 'epoch' not in curves:
        return {}
    epochs = dict(zip(*curves['epoch'], strict=True))
    by_epoch: dict[int, list[float]] = {}
    for iteration, loss in zip(*curves['loss'], strict=True):
        if iteration in epochs:
            by_epoch.setdefault(int(epochs[iteration]), []).append(float(loss))
    return {epoch: fmean(losses) for epoch, losses in sorted(by_epoch.items())}


def _num_images(logs: Sequence[Path]) -> int | None:
    """Read it from the annotation file in the most recent config, if both still exist."""
    try:
        text = logs[-1].with_name('config.py').read_text(encoding='utf-8')
        dataset = config_literals(text, ['val_dataloader'])['val_dataloader']['dataset']
        content = json.loads(Path(dataset.get('data_root') or '', dataset['ann_file']).read_text(encoding='utf-8'))
        return len(content['images'])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def summarise_runs(methods: Mapping[str, Sequence[DetectionRun]]) -> dict[str, dict[str, Any]]:
    """Mean, minimum, maximum and SD over the runs of every method, ready for JSON.

    Args:
        methods: Name → its runs (seeds or splits).

    Returns:
        Method → ``runs`` (work dirs), ``num_images`` and ``last_epochs`` (one per run), ``last`` and ``best``: measure
        name → ``values`` (one per run), ``mean``, ``min``, ``max``, ``sd`` (sample SD; None for one run), and for
        ``best`` also ``epochs``. ``best`` takes, for each run and measure, the epoch that is best on the test data.
    """
    summary: dict[str, dict[str, Any]] = {}
    for method, runs in methods.items():
        entry: dict[str, Any] = {
            'runs': [str(run.work_dir) for run in runs],
            'num_images': [run.num_images for run in runs],
            'last_epochs': [run.last_epoch for run in runs],
            'last': {},
            'best': {},
        }
        for name in MEASURES.values():
            curves = [run.measures[name] for run in runs if name in run.measures]
            if not curves:
                continue
            entry['last'][name] = _spread([curve[max(curve)] for curve in curves])
            epochs = [max(curve, key=lambda epoch: (curve[epoch], -epoch)) for curve in curves]
            best = [curve[epoch] for curve, epoch in zip(curves, epochs, strict=True)]
            entry['best'][name] = {**_spread(best), 'epochs': epochs}
        summary[method] = entry
    return summary


def _spread(values: list[float]) -> dict[str, Any]:
    sd = stdev(values) if len(values) > 1 else None
    return {'values': values, 'mean': fmean(values), 'min': min(values), 'max': max(values), 'sd': sd}
