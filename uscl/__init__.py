"""Ultrasound clips without a deep learning host: readers, conversion, data folders, checks, statistics, reports.

Nothing here needs MMEngine or its hosts, and PyTorch is imported where it is used alone. The parts that MMPretrain and
MMDetection run are in :mod:`uscl_plugin`.
"""

from .version import __version__

__all__ = ['__version__']
