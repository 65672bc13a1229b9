"""Losses."""

from .ntxent import LightlyNTXentLoss

__all__ = ['LightlyNTXentLoss']
