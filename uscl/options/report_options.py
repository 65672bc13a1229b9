"""Options of a pretraining report."""

from dataclasses import dataclass
from typing import Annotated

from uscl.core.options import Arg


@dataclass(frozen=True)
class ReportOptions:
    """Options of ``tools/analysis/report_pretraining.py``.

    Attributes:
        config: Pretraining config.
        checkpoint: Its checkpoint, WORK_DIR/epoch_N.pth; logs are searched for next to it.
        out: Page to write.
        json: File for the numbers (default: like --out, with .json).
        data_root: Folder with other data, containing annotations.json.
        split: Another split of the annotation, or 'all'.
        seed: Seed of the untrained network, the map, the sampling of pairs and the draws of the examples.
        triplets: Number of videos in the figure of positive pairs.
    """

    config: Annotated[str, Arg(positional=True)]
    checkpoint: Annotated[str, Arg(positional=True)]
    out: str = 'report.html'
    json: str | None = None
    data_root: str | None = None
    split: str | None = None
    seed: int = 0
    triplets: int = 6
