"""Ultrasound clips without a deep learning framework: readers, conversion, data folders, checks, statistics, reports.

Nothing here needs MMEngine or its host packages, and PyTorch is only imported where it is used. The parts that run
inside MMPretrain and MMDetection are in :mod:`uscl_plugin`.
"""

from .version import __version__

__all__ = ['__version__']
