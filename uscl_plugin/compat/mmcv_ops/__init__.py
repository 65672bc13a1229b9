"""Detectors without compiled mmcv: a replacement for ``mmcv._ext`` based on torchvision and PyTorch.

Importing this package installs the replacement, unless ``mmcv._ext`` can be imported. There are three ways to do so::

    custom_imports = dict(imports=['uscl_plugin', 'uscl_plugin.compat.mmcv_ops'])  # in a config
    python tools/train.py CONFIG  # and tools/test.py, for such a config
    python -m uscl_plugin.compat.mmcv_ops SCRIPT ARGS…  # any other script

It provides what the detectors in ``docs/mmdetection.md`` need, on any device: NMS, average RoIAlign, the sigmoid focal
loss, deformable convolutions and multi-scale deformable attention. All other ops raise an error when called.
"""

import importlib
import sys

import mmcv
from mmengine.logging import print_log

from ..quiet import without_false_alarms
from . import announcement, ext
from .late_imports import repeat_failed_imports


def install() -> None:
    """Make ``mmcv._ext`` importable; calling it again changes nothing.

    Host modules that were imported without it, with or without a guard, are completed. Which ops are in use is logged
    once: for the replacement at its first use, so that it appears in the log of the run.
    """
    try:
        compiled = importlib.import_module('mmcv._ext')
    except ImportError as error:  # not built, or built for another torch
        announcement.reason = str(error)
        sys.modules['mmcv._ext'] = mmcv._ext = ext
        with without_false_alarms():
            repeat_failed_imports()
    else:
        if compiled is not ext:
            print_log("mmcv's ops are the compiled ones.", logger='current')


install()
