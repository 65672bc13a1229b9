"""The algorithm with its head and loss, and the methods that it is compared with, registered with MMPretrain."""

from .baselines import FixMatch, PiModel, TemporalEnsembling, TrainingSetHook
from .data_preprocessors import SPGDataPreprocessor
from .heads import USCLHead
from .losses import LightlyNTXentLoss
from .ucl import UCL
from .uscl import USCL

__all__ = [
    'UCL',
    'USCL',
    'FixMatch',
    'LightlyNTXentLoss',
    'PiModel',
    'SPGDataPreprocessor',
    'TemporalEnsembling',
    'TrainingSetHook',
    'USCLHead',
]
