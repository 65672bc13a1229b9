"""Heads."""

from .hico_head import HiCoHead
from .pair_weight_head import PairWeightHead
from .uscl_head import USCLHead, batch_labels, labelled_cross_entropy

__all__ = ['HiCoHead', 'PairWeightHead', 'USCLHead', 'batch_labels', 'labelled_cross_entropy']
