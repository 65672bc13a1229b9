"""Options of ``uscl finetune``."""

from dataclasses import dataclass
from typing import Annotated, Literal

from uscl.core.options import Arg, option_name

_OF_CLASSIFIERS = ('evaluation', 'protocol', 'frames_per_video', 'batch_norm', 'config', 'cfg_options')
_IDLE = {'linear': ('epochs', 'batch_norm', 'config', 'cfg_options'), 'finetune': ('batch_norm',)}


@dataclass(frozen=True, kw_only=True)
class FinetuningOptions:
    """Options of ``uscl finetune``.

    Attributes:
        data: Folder written by a converter: of labelled clips, or, for detect, of lesions.
        source: Backbone to start from, such as the backbone.pth of `uscl pretrain`; or random.
        out: Folder for the model. The same command again goes on where it stopped.
        task: Train a classifier of clips, or a detector of lesions.
        evaluation: Folder of `uscl evaluate`: the model is trained as it judged there, and its card has the figures.
        protocol: What is trained: the last three layers, everything, or a linear probe (default: finetune3).
        size: Side length of the input in pixels (default: 224); of a detector, the shorter side (default: 800).
        epochs: Number of epochs (default: 100; 30 of a detector).
        frames_per_video: Maximum number of frames per video, evenly spaced (default: all).
        val_fraction: Fraction of the patients that choose the epoch, in [0, 1) (default: 0.2); 0 takes the last epoch.
        batch_norm: Batch norm mode of frozen layers (default: released).
        config: Fine-tuning config to use, such as the one given to the evaluation (default: that of configs/pocus).
        cfg_options: Changes to that config.
        mean: 1 or 3 numbers for values of 0..255, for a backbone that does not state it.
        std: 1 or 3 numbers for values of 0..255, for a backbone that does not state it.
        channel_order: Channel order of the input, for a backbone that does not state it.
        seed: Seed of the choice of patients, of new layers, the order and all draws.
        workers: Number of loading processes (default: the protocol's, at most one per core).
        device: cpu, cuda or cuda:N (default: a GPU if there is one).
        verbose: Show everything that the hosts print instead of a progress bar.
    """

    data: Annotated[str, Arg('DATA', positional=True)]
    source: Annotated[str, Arg('BACKBONE', name='--from')]
    out: Annotated[str, Arg('DIR')]
    task: Literal['classify', 'detect'] = 'classify'
    evaluation: Annotated[str | None, Arg('DIR')] = None
    protocol: Literal['finetune3', 'finetune', 'linear'] | None = None
    size: Annotated[int | None, Arg('PX', at_least=32)] = None
    epochs: Annotated[int | None, Arg('N', at_least=1)] = None
    frames_per_video: Annotated[int | None, Arg('N', at_least=1)] = None
    val_fraction: Annotated[float | None, Arg('FRACTION', at_least=0, below=1)] = None
    batch_norm: Literal['released', 'frozen'] | None = None
    config: str | None = None
    cfg_options: Annotated[list[str] | None, Arg('KEY=VALUE')] = None
    mean: Annotated[list[float] | None, Arg('X')] = None
    std: Annotated[list[float] | None, Arg('X')] = None
    channel_order: Literal['rgb', 'bgr'] | None = None
    seed: Annotated[int, Arg(at_least=0)] = 0
    workers: Annotated[int | None, Arg('N', at_least=0)] = None
    device: Annotated[str | None, Arg('DEVICE')] = None
    verbose: bool = False

    def __post_init__(self) -> None:
        idle = _OF_CLASSIFIERS if self.task == 'detect' else _IDLE.get(str(self.protocol), ())
        if given := [option_name(type(self), name) for name in idle if getattr(self, name) is not None]:
            what = '--task detect' if self.task == 'detect' else f'--protocol {self.protocol}'
            raise ValueError(f'{", ".join(given)} has no effect with {what}: remove it.')
