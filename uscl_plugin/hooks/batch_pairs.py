"""Where the pairs of a contrastive model can be seen."""

from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class BatchPairs:
    """Where a model's projections of both views come from.

    Attributes:
        module: Gives them, in one call or one after the other.
        negatives: Whether the views of other items in the batch are negatives.
        interleaved: Whether their order is view 1 and 2 of item 1, of item 2, …, instead of all views 1 first.
    """

    module: nn.Module
    negatives: bool
    interleaved: bool


def pairs_of(model: Any) -> BatchPairs:
    """The pairs of a model.

    Raises:
        ValueError: It is unknown how the model makes them.
    """
    from mmpretrain.models import selfsup  # here, because hooks also serve MMDetection

    from uscl_plugin.models.uscl import USCL

    contrastive = (USCL, selfsup.SimCLR, selfsup.MoCo, selfsup.MoCoV3)
    known = (*contrastive, selfsup.BYOL, selfsup.SimSiam, selfsup.BarlowTwins)
    if not isinstance(model, known) or model.neck is None:
        names = ', '.join(kind.__name__ for kind in known)
        raise ValueError(
            f'ContrastiveMonitorHook supports {names} with a neck, not {type(model).__name__}: set its interval to 0.'
        )
    # Barlow Twins compares what its head has standardised; the neck's own output may have any mean.
    module = model.head.bn if isinstance(model, selfsup.BarlowTwins) else model.neck
    return BatchPairs(module, isinstance(model, contrastive), isinstance(model, selfsup.SimCLR))
