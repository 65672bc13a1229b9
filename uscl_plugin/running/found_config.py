"""Read the config of a run that goes on, which was found in a folder and not named by anybody, without executing it."""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.utils import import_modules_from_strings

from uscl.core.config_literals import read_literals
from uscl.core.errors import SourceError

_SCOPES = ('mmengine', 'mmcv', 'mmpretrain', 'mmdet')
_OWN = 'uscl_plugin'
_OPERATIONS = ('nms', 'soft_nms', 'RoIAlign', 'RoIPool')  # which mmcv finds by name and not by registry


def read_found_config(path: Path) -> Config:
    """Read a config that :meth:`mmengine.config.Config.dump` has written.

    It may hold plain values, and name registered parts: MMEngine would import and call whatever else a ``type`` names.

    Raises:
        SourceError: It holds something else; names the file and what was refused. Nothing was executed.
    """
    remedy = 'if the folder is yours and you trust the file, run it with `uscl train`; else choose another --out'
    try:
        values = read_literals(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise SourceError(f'{path} holds code ({error}), and was not executed: {remedy}.') from error
    registries = _registries(['mmpretrain', *(['mmdet'] if values.get('default_scope') == 'mmdet' else [])])
    for key, name in _names(values):
        if not _is_known(key, name, registries):
            raise SourceError(f'{path} names {name!r} as {key}, which is no registered part: {remedy}.')
    if imports := values.get('custom_imports'):
        import_modules_from_strings(**imports)
    return Config(values, filename=str(path))


def _names(value: Any) -> Iterator[tuple[str, Any]]:
    """Everything that MMEngine looks up or imports."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in ('type', '_scope_', 'default_scope'):
                yield key, inner
            elif key == 'imports':
                yield from ((key, name) for name in inner)
            else:
                yield from _names(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _names(inner)


def _is_known(key: str, name: Any, registries: list[Registry]) -> bool:
    if not isinstance(name, str):
        return False
    if key == 'imports':
        return f'{name}.'.startswith(f'{_OWN}.')
    if key != 'type':
        return name in _SCOPES
    scope, dot, bare = name.rpartition('.')
    return (not dot or scope in _SCOPES) and (
        name in _OPERATIONS or any(bare in registry.module_dict for registry in registries)
    )


def _registries(hosts: list[str]) -> list[Registry]:
    importlib.import_module(_OWN)
    modules = [importlib.import_module(f'{host}.registry') for host in ('mmengine', *hosts)]
    found = [each for module in modules for each in vars(module).values() if isinstance(each, Registry)]
    for registry in found:
        registry.import_from_location()
    return found
