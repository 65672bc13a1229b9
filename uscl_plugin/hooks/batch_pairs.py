"""Where the pairs of a contrastive model can be seen."""

from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class BatchPairs:
    """Where a model's projections of both views come from.

    Attributes:
        module: Gives them.
        calls: Number of calls with the two views: 1, or 2 for one view after the other. Earlier calls in a step are of
            no interest.
        order: 'interleaved' is view 1 and 2 of item 1, of item 2, …; 'halves' is all views 1 first; 'unknown'
            is a model that measures its own pairs.
        negatives: Whether the views of other items in the batch are negatives.
    """

    module: nn.Module
    calls: int
    order: str
    negatives: bool


def pairs_of(model: Any) -> BatchPairs:
    """The pairs of a model.

    Raises:
        ValueError: It is unknown how the model makes them.
    """
    from mmpretrain.models import selfsup  # here, because hooks also serve MMDetection

    from uscl_plugin.models import UCL, USCL

    in_one_call = (USCL, selfsup.SimCLR, selfsup.MoCo)  # MoCo: of view 1 alone
    without_negatives = (selfsup.BYOL, selfsup.SimSiam, selfsup.BarlowTwins)
    known = (*in_one_call, UCL, selfsup.MoCoV3, *without_negatives)
    if not isinstance(model, known) or model.neck is None:
        names = ', '.join(kind.__name__ for kind in known)
        raise ValueError(
            f'ContrastiveMonitorHook supports {names} with a neck, not {type(model).__name__}: set its interval to 0.'
        )
    # Barlow Twins compares what its head has standardised; the neck's own output may have any mean.
    module = model.head.bn if isinstance(model, selfsup.BarlowTwins) else model.neck
    return BatchPairs(
        module,
        calls=1 if isinstance(model, (*in_one_call, UCL)) else 2,
        order='interleaved' if isinstance(model, selfsup.SimCLR) else 'unknown' if isinstance(model, UCL) else 'halves',
        negatives=not isinstance(model, (*without_negatives, UCL)),
    )
