"""Sample pair generation (SPG) as plain mmcv transforms: they need mmengine and mmcv, and no other host."""

from .frames import LoadVideoFrames, SampleVideoFrames
from .mixing import MixFrames, mix
from .packing import PackViews

__all__ = ['LoadVideoFrames', 'MixFrames', 'PackViews', 'SampleVideoFrames', 'mix']
