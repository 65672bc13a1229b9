"""Semi-supervised methods for comparison with USCL."""

from .fixmatch import FixMatch
from .pi_model import PiModel
from .temporal_ensembling import TemporalEnsembling
from .training_set_hook import TrainingSetHook

__all__ = ['FixMatch', 'PiModel', 'TemporalEnsembling', 'TrainingSetHook']
