"""Options of the commands that write weights: where they come from."""

from dataclasses import dataclass
from typing import Annotated

from uscl.core.options import Arg


@dataclass(frozen=True, kw_only=True)
class OriginOptions:
    """Facts about weights that only people know.

    Attributes:
        license: Licence of the weights, such as cc-by-4.0; stored in the file.
        data: Public name of the training data; stored in the file.
    """

    license: Annotated[str | None, Arg('ID')] = None
    data: Annotated[str | None, Arg('TEXT')] = None
