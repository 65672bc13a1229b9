"""How good a backbone is after so many steps and seconds, by what a run reported on held-out videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from uscl.reports.figures import DARK, GREY, METHOD_STYLES, new_figure, shorten, tidy
from uscl.reports.training_log import read_held_out, read_scalars

TITLES = {'gap': 'Gap between mean similarities', 'auroc': 'AUROC, same against different videos'}


@dataclass(frozen=True)
class QualityCurve:
    """The reports of one run.

    Attributes:
        steps: (n,) steps trained before each report.
        seconds: (n,) seconds of those steps, with loading, without reports and checkpoints.
        measures: Measure → (n,) values; larger is better.
    """

    steps: np.ndarray
    seconds: np.ndarray
    measures: dict[str, np.ndarray]

    @classmethod
    def of(cls, logs: Sequence[str | Path]) -> 'QualityCurve':
        """Read the logs of a run, which logged every step.

        Raises:
            ValueError: The run logged fewer steps, or reported nothing.
        """
        training, held_out = read_scalars(logs), read_held_out(logs)
        if not held_out:
            raise ValueError(f'{logs[0]} has no reports on held-out videos: set default_hooks.held_out.data_root.')
        iterations, seconds = training['time']
        if len(iterations) != iterations[-1]:
            raise ValueError(f'{logs[0]} does not have every step: set default_hooks.logger.interval=1.')
        last_step = dict(zip(training['epoch'][1], iterations, strict=True))
        steps = np.array([last_step[epoch] for epoch in held_out['gap'][0]])
        spent = np.cumsum(seconds)
        measures = {name: held_out[name][1] for name in TITLES}
        return cls(steps, spent[steps.astype(int) - 1], measures)

    def first_at(self, target: Mapping[str, float]) -> int | None:
        """Index of the first report in which every measure has reached its target; None if there is none."""
        reached = np.all([self.measures[name] >= value for name, value in target.items()], axis=0)
        return int(reached.argmax()) if reached.any() else None


def final_values(curves: Sequence[QualityCurve]) -> dict[str, float]:
    """Mean over runs of each measure's last value."""
    return {name: float(np.mean([curve.measures[name][-1] for curve in curves])) for name in TITLES}


def sooner(
    reference: Sequence[float], other: Sequence[float | None], resamples: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """How many times sooner, with its 95 % percentile interval over seeds: mean of the one over mean of the other.

    Args:
        reference: Steps or seconds of each run of the reference.
        other: Those of each run of a variant; None if it never got there.
        resamples: Number of resamples.
        seed: Seed of the resampling.

    Returns:
        Ratio, low and high; NaN if any run never got there.
    """
    if any(value is None for value in other):
        return (np.nan,) * 3
    one, two = np.asarray(reference, float), np.asarray(other, float)
    rng = np.random.default_rng(seed)
    drawn = [values[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1) for values in (one, two)]
    low, high = np.quantile(drawn[0] / drawn[1], [0.025, 0.975])
    return float(one.mean() / two.mean()), float(low), float(high)


def quality_figure(variants: Mapping[str, Sequence[QualityCurve]], target: Mapping[str, float], title: str) -> Figure:
    """Each measure against minutes, mean over seeds and their range, with the target as a line.

    Args:
        variants: Name → one curve per seed.
        target: Measure → value to be reached.
        title: States what was trained.
    """
    figure = new_figure(4.6 * len(TITLES), 3.6)
    for place, (measure, name) in enumerate(TITLES.items(), start=1):
        axes = figure.add_subplot(1, len(TITLES), place)
        axes.axhline(target[measure], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        for k, (variant, curves) in enumerate(variants.items()):
            colour, line = METHOD_STYLES[k % len(METHOD_STYLES)]
            minutes = np.mean([curve.seconds for curve in curves], axis=0) / 60
            values = np.stack([curve.measures[measure] for curve in curves])
            axes.fill_between(minutes, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)
            axes.plot(minutes, values.mean(0), color=colour, linestyle=line, linewidth=1.6, label=shorten(variant, 40))
        tidy(axes, f'{name}\n{title}' if place == 1 else name, 'Minutes', grid='y')
    axes.legend(frameon=False, fontsize=8.5, labelcolor=DARK)
    return figure
