"""Complete the host modules that were imported while ``mmcv.ops`` was not importable.

Their guards (``try: from mmcv.ops import nms; except ImportError: …``) left a placeholder or nothing at all instead of
the op, and packages without a guard failed after some of their modules were loaded. Loaded modules have registered
their classes and cannot be imported again, so they are completed in place.
"""

import ast
import importlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

HOSTS = 'mm'  # OpenMMLab's packages: mmcv, mmdet, mmpretrain, …
OPS = ('mmcv.ops', 'mmcv.cnn.bricks.transformer')  # the second re-exports one of the ops


def repeat_failed_imports() -> None:
    """Bind the ops that guards in loaded modules left out, then import the packages that failed."""
    _bind_ops()
    _finish_packages()
    # The only guard unrelated to mmcv: MMPretrain registers a layer with MMDetection if that can be imported.
    layer = sys.modules.get('mmpretrain.models.utils.res_layer_extra_norm')
    if layer is not None and layer.ResLayerExtraNorm is None:
        importlib.reload(layer)
        for name in ('mmpretrain.models.utils', 'mmpretrain.models'):
            importlib.import_module(name).ResLayerExtraNorm = layer.ResLayerExtraNorm  # type: ignore[attr-defined]


def _bind_ops() -> None:
    """Replace what the guards left by the ops, also where another module imported it."""
    left: list[tuple[object, object]] = []  # placeholder left by a guard, the op
    for _, module in sorted(_host_modules().items()):  # mmcv itself before modules that import from it
        for package, name, bound_to in _guarded_ops(module):
            op = getattr(importlib.import_module(package), name)
            left.append((getattr(module, bound_to, None), op))
            setattr(module, bound_to, op)
    ops = {id(old): op for old, op in left if callable(old)}
    for module in _host_modules().values():
        for key, value in list(vars(module).items()):
            if id(value) in ops:
                setattr(module, key, ops[id(value)])


def _host_modules() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.startswith(HOSTS) and module is not None}


def _guarded_ops(module: ModuleType) -> Iterator[tuple[str, str, str]]:
    """(package, name, name in the module) for each import from :data:`OPS` in a guard at the top level of a module."""
    path = Path(getattr(module, '__file__', None) or '')
    source = path.read_text(encoding='utf-8') if path.suffix == '.py' and path.is_file() else ''
    if 'mmcv' not in source:
        return
    for guard in ast.parse(source).body:
        for node in guard.body if isinstance(guard, ast.Try) else []:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(OPS):
                for alias in node.names:
                    yield node.module, alias.name, alias.asname or alias.name


def _finish_packages() -> None:
    """Import packages of which only submodules are loaded, and set these as attributes, as an import does."""
    parents = {name.rpartition('.')[0] for name in _host_modules()} - {''}
    with suppress(ImportError):  # like the guards: other import failures surface on use
        for parent in sorted(parents - set(sys.modules)):
            importlib.import_module(parent)
    for name, module in _host_modules().items():
        parent, _, child = name.rpartition('.')
        if parent in sys.modules and not hasattr(sys.modules[parent], child):
            setattr(sys.modules[parent], child, module)
