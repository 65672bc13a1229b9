"""Necks."""

from .level_neck import LevelNeck

__all__ = ['LevelNeck']
