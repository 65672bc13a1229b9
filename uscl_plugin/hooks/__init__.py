"""Hooks for the MMEngine runner."""

from uscl_plugin.weights import atomic_backend  # noqa: F401 (registers)

from .backbone_check import BackboneCheckHook
from .backbone_health_hook import BackboneHealthHook
from .class_check import ClassCheckHook
from .contrastive_monitor import ContrastiveMonitorHook
from .finite_loss import FiniteLossHook
from .freeze import FreezeHook
from .held_out import HeldOutHook
from .pair_pictures import PairPictureHook
from .plain_checkpoint import PlainCheckpointHook
from .provenance_hook import ProvenanceHook
from .sample_seed_hook import SampleSeedHook

__all__ = [
    'BackboneCheckHook',
    'BackboneHealthHook',
    'ClassCheckHook',
    'ContrastiveMonitorHook',
    'FiniteLossHook',
    'FreezeHook',
    'HeldOutHook',
    'PairPictureHook',
    'PlainCheckpointHook',
    'ProvenanceHook',
    'SampleSeedHook',
]
