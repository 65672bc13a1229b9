"""Build a network that a file describes, from known parts and plain values alone: the file decides nothing else."""

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from mmengine.config import ConfigDict
from mmengine.registry import Registry
from torch import nn

from .checkpoint_error import CheckpointError

Host = Literal['mmpretrain', 'mmdet']
DROPPED = ('init_cfg', 'pretrained', 'checkpoint_path', 'batch_augments')  # load other files, or matter in training
TRAINING = 'train_cfg'  # becomes None: detectors want to be given one
# Where the hosts keep the parts of networks for images. Others of their registered classes download weights, read files
# or take code from elsewhere. Classes of other packages are accepted if somebody has registered them in this process.
_PARTS = (
    *(f'mmpretrain.models.{room}.' for room in ('backbones', 'necks', 'heads', 'losses', 'utils')),
    *(f'mmdet.models.{room}.' for room in ('backbones', 'necks', 'dense_heads', 'roi_heads', 'seg_heads', 'losses')),
    *(f'mmdet.models.{room}.' for room in ('layers', 'detectors', 'data_preprocessors', 'task_modules')),
    *('mmpretrain.models.classifiers.image.', 'mmengine.model.', 'mmcv.cnn.', 'mmcv.ops.', 'torch.nn.'),
)
_HOSTS = ('mmpretrain', 'mmdet', 'mmcv', 'mmengine', 'torch', 'transformers', 'timm')
# Functions that mmcv finds by name and not by registry; it evaluates those of NMS as Python.
_OPERATIONS = ('nms', 'soft_nms', 'RoIAlign', 'RoIPool')
_WORD = re.compile(r'[\w+ -]*')  # names a mode or a variant, and neither a file, an address nor an attribute
_TIMM_MODEL = re.compile(r'[\w.]+')


def build_network(config: Mapping[str, Any], path: str | Path, host: Host) -> nn.Module:
    """Build a network from the config in a file that nobody has to trust.

    Every ``type`` in the config has to be the bare name of a registered part of the host, with a host's scope as the
    only prefix; every other value a number, a word, None, or a list or dict of these. Nothing is imported, read or
    downloaded for the file; :data:`DROPPED` settings and those of training are left out.

    Args:
        config: The ``model`` of a config, as literals.
        path: The file, for messages.
        host: The library whose network it is.

    Returns:
        The network, with weights as its constructors set them.

    Raises:
        CheckpointError: A part is unknown, a value is of another kind, or the parts do not fit; names ``path`` and what
            was refused. Nothing was built in the first two cases.
    """
    registries = _registries(host)
    checked = _checked(config, 'model', path, registries)
    try:
        return registries[0].build(ConfigDict(checked, _scope_=host))
    except Exception as error:  # constructors raise anything
        reason = str(error).split('\n')[0]
        raise CheckpointError(
            f'{path} contains a config that cannot be built ({reason}): check that it was written with this version.'
        ) from error


def _registries(host: Host) -> list[Registry]:
    """The host's registries of network parts, its own first."""
    module = importlib.import_module(f'{host}.registry')
    found = [module.MODELS, module.MODELS.parent]
    if host == 'mmdet':
        found[1:1] = [module.TASK_UTILS]
    for registry in found:
        registry.import_from_location()
    return found


def _checked(value: Any, where: str, path: str | Path, registries: list[Registry]) -> Any:
    """A copy without what is dropped, after a check of every part and value."""
    if isinstance(value, Mapping):
        if 'type' in value:
            _check_type(value, where, path, registries)
        kept = [key for key in value if key not in DROPPED and not str(key).startswith('_')]
        return {key: _checked_setting(value, key, f'{where}.{key}', path, registries) for key in kept}
    if isinstance(value, list | tuple):
        return type(value)(_checked(each, f'{where}[{k}]', path, registries) for k, each in enumerate(value))
    if value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and _WORD.fullmatch(value)):
        return value
    raise _refusal(path, where, value)


def _checked_setting(
    part: Mapping[str, Any], key: Any, where: str, path: str | Path, registries: list[Registry]
) -> Any:
    value = part[key]
    if key == TRAINING:
        return None
    if key == 'type':
        return value
    if isinstance(value, str) and str(part.get('type')).endswith('TIMMBackbone'):
        if key == 'model_name' and _TIMM_MODEL.fullmatch(value):
            return value
        raise _refusal(path, where, value)  # timm also takes addresses of models, and names of classes to import
    return _checked(value, where, path, registries)


def _check_type(part: Mapping[str, Any], where: str, path: str | Path, registries: list[Registry]) -> None:
    name = part['type']
    if not isinstance(name, str) or not any(_is_part(found) for found in _find(name, registries)):
        if name in _OPERATIONS:
            return
        raise _refusal(path, f'{where}.type', name)


def _find(name: str, registries: list[Registry]) -> Iterator[Any]:
    """What a bare name, or one with a host's scope, stands for; at most one."""
    scope, dot, bare = name.rpartition('.')
    if dot and scope not in ('mmpretrain', 'mmdet'):
        return
    for registry in _registries(scope) if dot else registries:  # type: ignore[arg-type]
        if bare in registry.module_dict:
            yield registry.module_dict[bare]
            return


def _is_part(found: Any) -> bool:
    module = f'{found.__module__}.'
    return inspect.isclass(found) and (module.startswith(_PARTS) or module.split('.')[0] not in _HOSTS)


def _refusal(path: str | Path, where: str, value: Any) -> CheckpointError:
    return CheckpointError(
        f'{path} names {value!r} as {where}, which is no known part of a network, or no plain value: nothing was '
        f'built or run; get the file from a trusted source, or train it again with a shipped config.'
    )
