"""Sample pair generation (SPG) as plain mmcv transforms, which need mmengine and mmcv but no other host.

Only :class:`AntialiasedRandomResizedCrop`, :class:`DrawViews` and :class:`PackFrames` need MMPretrain, when
instantiated.
"""

from .antialiased_crop import AntialiasedRandomResizedCrop
from .antialiased_resize import AntialiasedResize
from .collate_frames import PackFrames, PlannedView, collate_frames
from .draw_views import DrawViews
from .frame_as_image import FrameAsImage
from .frames import LoadVideoFrames, SampleVideoFrames
from .hard_negatives import SampleHardNegatives
from .load_frame import LoadFrame
from .meta_pair import AddMetaPair
from .mixing import MixFrames
from .nearby_pair import SampleNearbyPair
from .packing import PackViews
from .spaced_frames import SampleSpacedFrames

__all__ = [
    'AddMetaPair',
    'AntialiasedRandomResizedCrop',
    'AntialiasedResize',
    'DrawViews',
    'FrameAsImage',
    'LoadFrame',
    'LoadVideoFrames',
    'MixFrames',
    'PackFrames',
    'PackViews',
    'PlannedView',
    'SampleHardNegatives',
    'SampleNearbyPair',
    'SampleSpacedFrames',
    'SampleVideoFrames',
    'collate_frames',
]
