"""USCL pretraining on ultrasound videos as a plugin for MMPretrain.

Importing the package checks the environment once and registers what the installed hosts allow: SPG transforms, samplers
and hooks with MMEngine; the dataset and the algorithm with MMPretrain.
"""

from importlib.util import find_spec

from uscl.core.environment import check_environment
from uscl.version import __version__

from .compat.quiet import without_false_alarms

check_environment()

with without_false_alarms():
    from . import hooks
    from .datasets import pair_batch_sampler, transforms

    if find_spec('mmpretrain') is not None:
        from . import models  # noqa: F401
        from .datasets import video_clusters, video_frames  # noqa: F401
        from .evaluation import video_metric  # noqa: F401

__all__ = ['__version__', 'hooks', 'pair_batch_sampler', 'transforms']
