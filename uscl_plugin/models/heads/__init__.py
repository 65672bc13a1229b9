"""Heads."""

from .uscl_head import USCLHead, labelled_cross_entropy

__all__ = ['USCLHead', 'labelled_cross_entropy']
