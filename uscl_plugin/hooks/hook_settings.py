"""The hooks in a config's ``default_hooks`` and ``custom_hooks``."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config


def hook_settings(cfg: Config, kind: str) -> Iterator[dict[str, Any]]:
    """Settings of the hooks of one type, wherever they are in a config; changing them changes the config.

    Args:
        cfg: Config of a run.
        kind: The hook's type, such as ``'FreezeHook'``.
    """
    for hook in [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]:
        if _is_a(hook, kind):
            yield hook


def remove_hook(cfg: Config, kind: str) -> None:
    """Remove the hooks of one type from a config, in place.

    Args:
        cfg: Config of a run.
        kind: The hook's type.
    """
    named = cfg.get('default_hooks') or {}
    for name in [name for name, hook in named.items() if _is_a(hook, kind)]:
        del named[name]
    if cfg.get('custom_hooks'):
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if not _is_a(hook, kind)]


def _is_a(hook: Any, kind: str) -> bool:
    return isinstance(hook, dict) and hook.get('type') == kind  # others are None or hooks already built
