"""Load a checkpoint into a network, requiring all tensors to match, or report the differences."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .checkpoint_error import CheckpointError

_NAMED = 3  # tensors that a message names per kind


def load_strictly(network: nn.Module, checkpoint: Mapping[str, Any], path: str | Path, remedy: str) -> None:
    """Load a state dict that has exactly the network's names and shapes.

    Args:
        network: The network; unchanged if the state dict does not fit.
        checkpoint: A dict with a ``state_dict``, or a state dict.
        path: Path of the checkpoint, for the message.
        remedy: What to do if it does not fit, as the end of a sentence.

    Raises:
        CheckpointError: Tensors are missing, left over or of another shape; the message counts them and names the
            first.
    """
    state = checkpoint.get('state_dict', checkpoint)
    state = state if isinstance(state, Mapping) else {}
    found = differences(tensor_forms(state), tensor_forms(network.state_dict()))
    if any(found.values()):
        raise CheckpointError(f'{path} does not fit the network, {in_words(found)}: {remedy}.')
    network.load_state_dict(state, strict=True)


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, list[str]]:
    """Compare names and shapes.

    Args:
        found: Names to shapes.
        expected: Names to shapes.

    Returns:
        The names ``missing``, ``left over`` and ``of another shape``, the last with both shapes.
    """
    return {
        'missing': [name for name in expected if name not in found],
        'left over': [name for name in found if name not in expected],
        'of another shape': [
            f'{name} {found[name]} instead of {shape}'
            for name, shape in expected.items()
            if found.get(name, shape) != shape
        ],
    }


def in_words(found: Mapping[str, list[str]]) -> str:
    """The number of differences of each kind, and the first of them.

    >>> in_words({'missing': ['a', 'b', 'c', 'd'], 'left over': [], 'of another shape': ['e (2,) instead of (3,)']})
    '4 missing (a, b, c, …); 1 of another shape (e (2,) instead of (3,))'
    """
    return '; '.join(
        f'{len(names)} {kind} ({", ".join(map(str, names[:_NAMED]))}{", …" if len(names) > _NAMED else ""})'
        for kind, names in found.items()
        if names
    )


def tensor_forms(state: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`differences` compares of a state dict: names to shapes, and to types of what is no tensor."""
    return {
        name: tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__ for name, value in state.items()
    }
