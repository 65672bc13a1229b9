"""Out-of-fold predictions of a comparison in one small file, from which a stranger recomputes every interval."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uscl.core.atomic_files import write_text
from uscl.stats.predictions import Predictions

_DIGITS = 4  # of a probability


@dataclass
class StoredResults:
    """Predictions by video of many methods and seeds, on the same videos.

    Attributes:
        title: What was trained and tested.
        protocol: How the backbones were judged, and how the setting was selected.
        classes: Names of the C classes, in order.
        is_ordered: Whether the order of the classes has a meaning.
        videos: Ids of the N videos.
        patients: Patient of each, or ``video:ID``.
        labels: Index of the class of each.
        runs: Method → seed → N lists of C probabilities, rounded.
        facts: Method → steps, views and the like.
        commands: Command lines that made them.
    """

    title: str
    protocol: str
    classes: list[str]
    is_ordered: bool
    videos: list[str]
    patients: list[str]
    labels: list[int]
    runs: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: str | Path) -> 'StoredResults':
        """Read what :meth:`save` wrote."""
        return cls(**json.loads(Path(path).read_text(encoding='utf-8')))

    def save(self, path: str | Path) -> None:
        """Write the file, a line for each video and each run of a method."""
        content = asdict(self)
        runs = content.pop('runs')
        lines = [f' {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}' for key, value in content.items()]
        blocks = [
            f'  {json.dumps(method)}: {{\n'
            + ',\n'.join(f'   {json.dumps(seed)}: {json.dumps(rows)}' for seed, rows in by_seed.items())
            + '\n  }'
            for method, by_seed in runs.items()
        ]
        lines.append(' "runs": {\n' + ',\n'.join(blocks) + '\n }')
        write_text(path, '{\n' + ',\n'.join(lines) + '\n}\n')

    def add(self, method: str, seed: int, predictions: Predictions, facts: Mapping[str, Any] | None = None) -> None:
        """Add a run, in place of an earlier one of that method and seed.

        Args:
            method: Name of the row.
            seed: Its seed.
            predictions: Those of all frames, or of all videos.
            facts: What is known of the method.

        Raises:
            ValueError: It covers other videos, patients or labels.
        """
        found = predictions.by_video()
        place = {video: k for k, video in enumerate(found.videos.tolist())}
        if sorted(place) != sorted(self.videos):
            raise ValueError(f'{method}, seed {seed}, covers other videos than the stored results: use another file.')
        order = [place[video] for video in self.videos]
        if found.labels[order].tolist() != self.labels or found.groups[order].tolist() != self.patients:
            raise ValueError(f'{method}, seed {seed}, has other labels or patients: use another file.')
        self.runs.setdefault(method, {})[str(seed)] = found.probabilities[order].round(_DIGITS).tolist()
        self.runs[method] = dict(sorted(self.runs[method].items(), key=lambda item: int(item[0])))
        if facts:
            self.facts[method] = dict(facts)

    def predictions(self, selection: str = 'fixed') -> dict[str, dict[str, dict[int, Predictions]]]:
        """Method → selection → seed → predictions, as :func:`uscl.stats.evaluation_summary.summarise` takes them."""
        names = np.array(self.videos)

        def one(rows: list[list[float]]) -> Predictions:
            shares = np.array(rows)
            return Predictions(
                shares / shares.sum(axis=1, keepdims=True), np.array(self.labels), names, np.array(self.patients), names
            )

        return {
            method: {selection: {int(seed): one(rows) for seed, rows in by_seed.items()}}
            for method, by_seed in self.runs.items()
        }


def start_results(
    title: str, protocol: str, classes: list[str], is_ordered: bool, predictions: Predictions
) -> StoredResults:
    """Results without a run, on the videos of these predictions."""
    found = predictions.by_video()
    order = np.argsort(found.videos)
    return StoredResults(
        title, protocol, classes, is_ordered,
        found.videos[order].tolist(), found.groups[order].tolist(), found.labels[order].tolist(),
    )  # fmt: skip
