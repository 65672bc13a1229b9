"""Sample pair generation (SPG) as plain mmcv transforms: they need mmengine and mmcv, and no other host."""

from .frames import LoadVideoFrames, SampleVideoFrames
from .mixing import MixFrames, mix

__all__ = ['LoadVideoFrames', 'MixFrames', 'SampleVideoFrames', 'mix']
