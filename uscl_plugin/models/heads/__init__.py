"""Heads."""

from .uscl_head import USCLHead, batch_labels, labelled_cross_entropy
from .weighted_pair_head import WeightedPairHead

__all__ = ['USCLHead', 'WeightedPairHead', 'batch_labels', 'labelled_cross_entropy']
