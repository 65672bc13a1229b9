"""Hooks for the MMEngine runner."""

from .backbone_check import BackboneCheckHook
from .class_check import ClassCheckHook
from .contrastive_monitor import ContrastiveMonitorHook
from .freeze import FreezeHook
from .held_out import HeldOutHook
from .plain_checkpoint import PlainCheckpointHook
from .sample_seed import SampleSeedHook

__all__ = [
    'BackboneCheckHook',
    'ClassCheckHook',
    'ContrastiveMonitorHook',
    'FreezeHook',
    'HeldOutHook',
    'PlainCheckpointHook',
    'SampleSeedHook',
]
