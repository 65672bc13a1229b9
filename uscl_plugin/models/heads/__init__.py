"""Heads."""

from .hico_head import HiCoHead
from .pair_weight_head import PairWeightHead
from .uscl_head import USCLHead, batch_labels, labelled_cross_entropy
from .weighted_pair_head import WeightedPairHead

__all__ = ['HiCoHead', 'PairWeightHead', 'USCLHead', 'WeightedPairHead', 'batch_labels', 'labelled_cross_entropy']
