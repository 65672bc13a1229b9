"""Detectors without compiled mmcv: a stand-in for ``mmcv._ext`` on ``torchvision.ops``.

Importing this package puts the stand-in in place, unless ``mmcv._ext`` can be imported. Three ways switch it on::

    custom_imports = dict(imports=['uscl_plugin', 'uscl_plugin.compat.mmcv_ops'])  # in a config
    python tools/train.py CONFIG  # and tools/test.py, for such a config
    python -m uscl_plugin.compat.mmcv_ops SCRIPT ARGS…  # any other script

It holds what the FPN detectors and Mask R-CNN of MMDetection need: NMS and average RoIAlign. Every other op raises when
it is called.
"""

import importlib
import sys

import mmcv
from mmengine.logging import print_log

from ..quiet import without_false_alarms
from . import ext
from .late_imports import repeat_failed_imports


def install() -> None:
    """Make ``mmcv._ext`` importable; a second call changes nothing.

    The modules of hosts that were imported without it, with a guard or not at all, are completed. The log says once
    which ops are in use: of the stand-in at its first use, so that it reaches the log of the run.
    """
    try:
        compiled = importlib.import_module('mmcv._ext')
    except ImportError as error:  # not built, or built for another torch
        ext.reason = str(error)
        sys.modules['mmcv._ext'] = mmcv._ext = ext
        with without_false_alarms():
            repeat_failed_imports()
    else:
        if compiled is not ext:
            print_log('NMS and RoIAlign are those of the compiled mmcv.', logger='current')


install()
