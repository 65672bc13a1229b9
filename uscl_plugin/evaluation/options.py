"""What an evaluation was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EvaluationOptions:
    """What ``tools/evaluate.py`` was asked for; see its ``--help``. ``seeds`` may also list them."""

    checkpoints: list[str]
    data: str
    out: str
    folds: str = '5'
    seeds: int | Sequence[int] = 1
    protocol: str = 'linear'
    group_by: str = 'patient'
    allow_leak: bool = False
    val_fraction: float = 0.2
    size: int = 224
    epochs: int | None = None
    frames_per_video: int | None = None
    batch_norm: str | None = None
    config: str | None = None
    cfg_options: dict = field(default_factory=dict)
    given: dict = field(default_factory=dict)
    keep_models: bool = True
