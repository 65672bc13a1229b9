"""Data preprocessors."""

from .color_jitter import jitter
from .spg import SPGDataPreprocessor, make_views
from .view_geometry import crop_resize, mix_frames, rotate

__all__ = ['SPGDataPreprocessor', 'crop_resize', 'jitter', 'make_views', 'mix_frames', 'rotate']
