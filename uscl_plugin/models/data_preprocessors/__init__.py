"""Data preprocessors."""

from .color_jitter import jitter
from .spg_data_preprocessor import SPGDataPreprocessor, make_views
from .view_geometry import mix_frames, rotate
from .view_resize import crop_resize

__all__ = ['SPGDataPreprocessor', 'crop_resize', 'jitter', 'make_views', 'mix_frames', 'rotate']
