"""Heads."""

from .uscl_head import USCLHead, batch_labels, labelled_cross_entropy

__all__ = ['USCLHead', 'batch_labels', 'labelled_cross_entropy']
