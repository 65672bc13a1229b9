"""Settings that all methods of a comparison share."""

from dataclasses import dataclass
from typing import Annotated

from uscl.core.options import Arg


@dataclass(frozen=True, kw_only=True)
class CommonSettings:
    """Settings shared by all methods.

    Attributes:
        pretrain_data: Folder written by a converter.
        pretrain_split: Split of these data (default: all videos).
        label_fraction: Fraction of the videos that keep their label, in [0, 1].
        epochs: Number of epochs of USCL; other methods get the same number of steps and views.
        batch_size: Pairs per batch.
        size: Side of the input in pixels.
        backbone: Backbone of all rows but those with a config or weights of their own, such as mobilenet_v3_small, or
            timm:NAME; see docs/backbones.md.
        workers: Number of loading processes (default: 4, or one per core).
    """

    pretrain_data: Annotated[str, Arg('DIR')]
    pretrain_split: Annotated[str | None, Arg('SPLIT')] = None
    label_fraction: Annotated[float, Arg(at_least=0, at_most=1)] = 0.01
    epochs: Annotated[int, Arg('E', at_least=1)] = 300
    batch_size: Annotated[int, Arg(at_least=1)] = 32
    size: Annotated[int, Arg('PX', at_least=1)] = 224
    backbone: Annotated[str, Arg('NAME')] = 'resnet18'
    workers: Annotated[int | None, Arg(at_least=0)] = None
