"""Backbones of other libraries, as this package's methods, hooks and tools use them."""

from .map_timm_backbone import MapTIMMBackbone

__all__ = ['MapTIMMBackbone']
