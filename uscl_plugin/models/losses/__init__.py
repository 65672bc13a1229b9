"""Losses."""

from .ntxent import LightlyNTXentLoss
from .weighted_ntxent import WeightedNTXentLoss

__all__ = ['LightlyNTXentLoss', 'WeightedNTXentLoss']
