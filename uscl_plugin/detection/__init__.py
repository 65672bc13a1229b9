"""MMDetection extensions for lesion data; list it in a config's ``custom_imports`` after the mmcv ops replacement.

``custom_imports = dict(imports=['uscl_plugin', 'uscl_plugin.compat.mmcv_ops', 'uscl_plugin.detection'])``
"""

from .lesion_check_hook import LesionCheckHook
from .lesion_dataset import LesionDataset
from .lesion_metric import LesionCocoMetric

__all__ = ['LesionCheckHook', 'LesionCocoMetric', 'LesionDataset']
