"""The algorithm, its head and its loss, registered with MMPretrain."""

from .heads import USCLHead
from .losses import LightlyNTXentLoss
from .uscl import USCL

__all__ = ['USCL', 'LightlyNTXentLoss', 'USCLHead']
