"""Sample pair generation (SPG) as plain mmcv transforms: they need mmengine and mmcv, and no other host."""

from .frame_as_image import FrameAsImage
from .frames import LoadVideoFrames, SampleVideoFrames
from .load_frame import LoadFrame
from .mixing import MixFrames, mix
from .packing import PackViews

__all__ = ['FrameAsImage', 'LoadFrame', 'LoadVideoFrames', 'MixFrames', 'PackViews', 'SampleVideoFrames', 'mix']
