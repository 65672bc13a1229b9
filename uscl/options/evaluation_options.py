"""Options of an evaluation."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from uscl.core.cluster_options import ClusterOptions
from uscl.core.options import Arg, option_name
from uscl.data.fold_making import GROUPINGS

from .input_options import InputOptions

Protocol = Literal['finetune3', 'finetune', 'linear', 'knn']
PROBE_PROTOCOLS = ('linear', 'knn')  # protocols that train on features extracted once


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(ClusterOptions, InputOptions):
    """Options of ``tools/evaluate.py``.

    Attributes:
        checkpoints: PATH, NAME=PATH or random.
        data: Folder written by a converter.
        out: Output folder.
        folds: Number of folds, 'split' (the index's column) or 'official'.
        only_split: Use the videos of this split of the index only; folds are made within it.
        seeds: Number of seeds N; runs use seeds 0 to N-1.
        protocol: What is trained: the last three layers (finetune3), everything (finetune), or a probe on the features.
        size: Side length of the input in pixels.
        epochs: Number of fine-tuning epochs (default: the config's, 100).
        patients_per_class: Train every fold on this many patients of each class only, to see how many labels it takes.
        frames_per_video: Maximum number of frames per video, evenly spaced.
        val_fraction: Fraction of each training part used for inner-val, in [0, 1); 0 for none.
        group_by: What the folds keep together; video causes leakage.
        allow_leak: Evaluate even if patients are on both sides.
        batch_norm: Batch norm mode of frozen layers (default: the config's).
        config: Fine-tuning config to use instead of the one in configs/pocus.
        cfg_options: Changes to that config.
        keep_models: Keep the trained classifiers; with --no-models they are deleted.
        resamples: Number of resamples of patients for the intervals.
    """

    checkpoints: Annotated[list[str], Arg('CHECKPOINT', positional=True)]
    data: Annotated[str, Arg('DIR')]
    out: Annotated[str, Arg('DIR')]
    folds: Annotated[str, Arg('K')] = '5'
    only_split: Annotated[str | None, Arg('SPLIT')] = None
    seeds: Annotated[int, Arg('N', at_least=1)] = 1
    protocol: Protocol = 'linear'
    size: Annotated[int, Arg(at_least=1)] = 224
    epochs: Annotated[int | None, Arg(at_least=1)] = None
    patients_per_class: Annotated[int | None, Arg('N', at_least=1)] = None
    frames_per_video: Annotated[int | None, Arg('N', at_least=1)] = None
    val_fraction: Annotated[float, Arg(at_least=0, below=1)] = 0.2
    group_by: Annotated[str, Arg(choices=GROUPINGS)] = 'patient'
    allow_leak: bool = False
    batch_norm: Literal['released', 'frozen'] | None = None
    config: str | None = None
    cfg_options: Annotated[list[str], Arg('KEY=VALUE')] = field(default_factory=list)
    keep_models: Annotated[bool, Arg(name='--no-models')] = True
    resamples: Annotated[int, Arg(at_least=1)] = 2000

    def __post_init__(self) -> None:
        fine_tuning = ('epochs', 'batch_norm', 'config', 'cfg_options')
        idle = (
            fine_tuning if self.protocol in PROBE_PROTOCOLS else ('batch_norm',) if self.protocol == 'finetune' else ()
        )
        if self.only_split is not None and self.folds in ('split', 'official'):
            raise ValueError(f'--only-split needs a number of folds, not --folds {self.folds}: give a number.')
        if given := [option_name(type(self), name) for name in idle if getattr(self, name)]:
            raise ValueError(f'{", ".join(given)} has no effect with --protocol {self.protocol}: remove it.')
