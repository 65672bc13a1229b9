"""What a pretraining report was asked for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReportOptions:
    """What ``tools/analysis/report_pretraining.py`` was asked for.

    Attributes:
        config: The config file, as typed.
        checkpoint: The checkpoint, as typed.
        out: The page to write.
        json: The numbers to write; None: beside the page.
        data_root: Other data than the config's.
        split: Another split; ``'all'`` for every video.
        seed: Of the untrained network, the map, the subsampling of pairs and the draws of the examples.
        triplets: Number of videos in the sheet of positive pairs.
        command: The command line, to print on the page.
    """

    config: str
    checkpoint: str
    out: str
    json: str | None = None
    data_root: str | None = None
    split: str | None = None
    seed: int = 0
    triplets: int = 6
    command: str = ''
