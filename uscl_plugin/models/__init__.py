"""The algorithm with its head and loss, and the methods that it is compared with, registered with MMPretrain."""

from .baselines import FixMatch, PiModel, TemporalEnsembling, TrainingSetHook
from .data_preprocessors import SPGDataPreprocessor
from .heads import USCLHead, WeightedPairHead
from .losses import LightlyNTXentLoss, WeightedNTXentLoss
from .uscl import USCL

__all__ = [
    'USCL',
    'FixMatch',
    'LightlyNTXentLoss',
    'PiModel',
    'SPGDataPreprocessor',
    'TemporalEnsembling',
    'TrainingSetHook',
    'USCLHead',
    'WeightedNTXentLoss',
    'WeightedPairHead',
]
