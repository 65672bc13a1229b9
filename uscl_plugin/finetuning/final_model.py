"""What a classifier and a detector have in common as final models."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner
from rich.console import Console

from uscl.options.finetuning_options import FinetuningOptions
from uscl_plugin.comparison.training_run import can_resume
from uscl_plugin.evaluation.backbones import PretrainedBackbone, load_backbone, write_backbone
from uscl_plugin.running.watched_training import train_watched

from .best_epoch_hook import BestEpochHook, best_epoch, read_epochs

LOG = 'log'  # OUT/log: work folder of the run


class FinalModel(ABC):
    """A model to be trained on all labelled data of a folder.

    Args:
        options: Options of the run.

    Attributes:
        backbone: What it starts from.
        work: Work folder of the run.
        classes: Names of its classes.
        data_digest: Identifies the data.
        settings: The settings that the result depends on, besides backbone and data, by names of options.
        lines: What the user should know about the data, a sentence each.
        facts: Rows of the model card: what, and its value.

    Raises:
        OSError: Data or backbone are missing.
        SourceError: The data cannot be used, or options contradict an evaluation.
        ValueError: They do not fit together.
    """

    kind: str  # of model, for the card
    tag: str  # of its task, on model hubs
    library: str
    classes: list[str]
    data_digest: str
    settings: dict[str, Any]
    lines: list[str]
    facts: list[tuple[str, str]]

    def __init__(self, options: FinetuningOptions) -> None:
        self.options = options
        self.work = Path(options.out) / LOG
        given = {'mean': options.mean, 'std': options.std, 'channel_order': options.channel_order}
        self.backbone: PretrainedBackbone = load_backbone(options.source, options.seed, given)

    @abstractmethod
    def make_config(self) -> Config:
        """The config of the run, with all that it needs in the work folder."""

    @abstractmethod
    def quality(self, runner: Runner, metrics: Mapping[str, Any]) -> tuple[float, ...]:
        """Sort key of an epoch, see :class:`BestEpochHook`."""

    @abstractmethod
    def describe(self, metrics: Mapping[str, Any]) -> str:
        """The most important one of the metrics on the patients that choose the epoch."""

    @abstractmethod
    def judged(self) -> tuple[str, str]:
        """What is known of patients that were not trained on: a clause for the console, and a part of the card."""

    def train(self, cfg: Config, console: Console) -> int | None:
        """Train into the work folder; None, or the epoch in which the run was stopped."""
        cfg.resume = can_resume(self.work)
        batch = f'batches of {cfg.train_dataloader.batch_size} images: set a smaller --size'
        return train_watched(cfg, console, self.work, batch, [BestEpochHook(self.quality)])

    def reached(self, cfg: Config) -> str:
        """Which epoch was kept, and what it reached."""
        rows, last = read_epochs(self.work), cfg.train_cfg.max_epochs
        if not rows:
            return f'the last of {last} epochs, as no patients were held back to choose one'
        best = best_epoch(rows)
        return f'epoch {best["epoch"]} of {last}, {self.describe(best["metrics"])} on the patients that chose it'

    def write_backbone(self) -> Path:
        """Write the weights that the run starts from into the work folder."""
        path = self.work.resolve() / 'backbone.pth'
        write_backbone(path, self.backbone)
        return path
