"""Options of the commands that take a checkpoint: the input of its network."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from uscl.core.options import Arg

INPUT_KEYS = ('mean', 'std', 'channel_order')


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """Input of a checkpoint's network, for checkpoints that do not state it; those that do must agree.

    Attributes:
        mean: 1 or 3 numbers for values of 0..255, for checkpoints that do not state it.
        std: 1 or 3 numbers for values of 0..255, for checkpoints that do not state it.
        channel_order: Channel order of the network's input, for checkpoints that do not state it.
    """

    mean: Annotated[list[float] | None, Arg('X')] = None
    std: Annotated[list[float] | None, Arg('X')] = None
    channel_order: Literal['rgb', 'bgr'] | None = None

    def given_input(self) -> dict[str, Any]:
        """The three values by name, None if not given."""
        return {key: getattr(self, key) for key in INPUT_KEYS}
