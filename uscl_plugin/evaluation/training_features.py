"""Features of the training clips in the checkpoint of a classifier."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from uscl.core.atomic_files import write_atomically
from uscl.stats.training_features import TrainingFeatures
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.checkpoint_files import save_reproducibly
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

KEY = 'training_features'  # in a checkpoint, beside state_dict and meta


def as_plain(found: TrainingFeatures) -> dict[str, Any]:
    """Tensors, numbers and None under the names of the attributes, for a checkpoint."""
    return vars(found) | {'features': torch.from_numpy(found.features)}


def add_training_features(path: str | Path, found: TrainingFeatures) -> None:
    """Add them to the checkpoint of a classifier, atomically."""
    checkpoint = load_plain_checkpoint(path) | {KEY: as_plain(found)}
    write_atomically(path, lambda temporary: save_reproducibly(checkpoint, temporary))


def read_training_features(checkpoint: Mapping[str, Any], path: str | Path, width: int) -> TrainingFeatures | None:
    """The features in a checkpoint; None if it has none.

    Args:
        checkpoint: The checkpoint.
        path: Its path, for messages.
        width: Number of features D of its backbone.

    Raises:
        CheckpointError: They are of another form.
    """
    stored = checkpoint.get(KEY)
    if stored is None:
        return None
    try:
        found = TrainingFeatures(**stored | {'features': stored['features'].numpy()})
        fits = found.features.shape[1] == width
    except (TypeError, AttributeError, KeyError, ValueError):
        fits = False
    if not fits:
        raise CheckpointError(f'{path} has {KEY} of another form: train the classifier again.')
    return found
