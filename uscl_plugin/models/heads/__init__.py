"""Heads."""

from .hico_head import HiCoHead
from .uscl_head import USCLHead, batch_labels, labelled_cross_entropy

__all__ = ['HiCoHead', 'USCLHead', 'batch_labels', 'labelled_cross_entropy']
