"""Hooks for the MMEngine runner."""

from .held_out import HeldOutHook
from .plain_checkpoint import PlainCheckpointHook
from .sample_seed import SampleSeedHook

__all__ = ['HeldOutHook', 'PlainCheckpointHook', 'SampleSeedHook']
