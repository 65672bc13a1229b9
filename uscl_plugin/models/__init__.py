"""The algorithm with its head and loss, and the methods that it is compared with, registered with MMPretrain."""

from .backbones import MapTIMMBackbone
from .baselines import FixMatch, PiModel, TemporalEnsembling, TrainingSetHook
from .data_preprocessors import SPGDataPreprocessor
from .heads import HiCoHead, PairWeightHead, USCLHead, WeightedPairHead
from .hico import HiCo
from .losses import LightlyNTXentLoss, WeightedNTXentLoss
from .meta_uscl import MetaUSCL
from .necks import LevelNeck
from .ucl import UCL
from .uscl import USCL

__all__ = [
    'UCL',
    'USCL',
    'FixMatch',
    'HiCo',
    'HiCoHead',
    'LevelNeck',
    'LightlyNTXentLoss',
    'MapTIMMBackbone',
    'MetaUSCL',
    'PairWeightHead',
    'PiModel',
    'SPGDataPreprocessor',
    'TemporalEnsembling',
    'TrainingSetHook',
    'USCLHead',
    'WeightedNTXentLoss',
    'WeightedPairHead',
]
