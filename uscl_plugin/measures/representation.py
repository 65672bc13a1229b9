"""The features of a backbone, and how well they keep the frames of one video together."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config
from torch import nn

from uscl.stats.cohesion import Cohesion, measure_cohesion
from uscl_plugin.datasets.frame_set import FrameSet
from uscl_plugin.datasets.pipeline_settings import input_size
from uscl_plugin.measures.features import extract_features


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of one network on a :class:`FrameSet`.

    Attributes:
        features: (N, C) float32.
        cohesion: Cohesion over all frames, with retrieval of the held-out ones.
        held_out: Cohesion among the held-out frames, without retrieval; None if there are none.
    """

    features: np.ndarray
    cohesion: Cohesion
    held_out: Cohesion | None


def input_settings(cfg: Config) -> dict[str, Any]:
    """Input size and normalisation of a pretraining config, as arguments of :func:`.features.extract_features`."""
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    return {
        'size': input_size(cfg.train_dataloader.dataset),
        'mean': preprocessor.get('mean', [0.0] * 3),
        'std': preprocessor.get('std', [1.0] * 3),
        'to_rgb': preprocessor.get('to_rgb', False),
    }


def evaluate_backbone(backbone: nn.Module, frames: Iterable[np.ndarray], found: FrameSet, cfg: Config) -> Evaluation:
    """Extract the features of frames and measure their cohesion.

    Args:
        backbone: The network, on its device.
        frames: The N frames of ``found``, see :meth:`~uscl_plugin.datasets.frame_set.FrameSet.read`.
        found: Their videos, and which frames are held out.
        cfg: Config with input size and normalisation.

    Returns:
        Features and metrics.
    """
    features = extract_features(backbone, frames, **input_settings(cfg))
    own = found.query
    return Evaluation(
        features=features,
        cohesion=measure_cohesion(features, found.video, own),
        held_out=measure_cohesion(features[own], found.video[own], own[own]) if own.any() else None,
    )
