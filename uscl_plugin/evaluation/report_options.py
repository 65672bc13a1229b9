"""What a pretraining report was asked for."""

from dataclasses import dataclass
from typing import Annotated

from uscl.core.options import Arg


@dataclass(frozen=True)
class ReportOptions:
    """What ``tools/analysis/report_pretraining.py`` was asked for.

    Attributes:
        config: Pretraining config.
        checkpoint: Its checkpoint, WORK_DIR/epoch_N.pth; logs are looked for beside it.
        out: Page to write.
        json: File for the numbers (default: as --out, with .json).
        data_root: Folder of other data with annotations.json.
        split: Other split of the annotation, or 'all'.
        seed: Of the untrained network, the map, the subsampling of pairs and the draws of the examples.
        triplets: Videos in the sheet of positive pairs.
    """

    config: Annotated[str, Arg(positional=True)]
    checkpoint: Annotated[str, Arg(positional=True)]
    out: str = 'report.html'
    json: str | None = None
    data_root: str | None = None
    split: str | None = None
    seed: int = 0
    triplets: int = 6
