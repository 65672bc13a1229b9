"""Build a network that a file describes, from known parts and plain values alone: the file decides nothing else."""

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from mmengine.config import ConfigDict
from mmengine.registry import Registry
from torch import Tensor, nn

from .allocation_limit import AllocationLimit
from .checkpoint_error import CheckpointError

Host = Literal['mmpretrain', 'mmdet']
DROPPED = ('init_cfg', 'pretrained', 'checkpoint_path', 'batch_augments')  # load other files, or matter in training
TRAINING = 'train_cfg'  # becomes None: detectors want to be given one
# Where the hosts keep the parts of networks for images. Others of their registered classes download weights, read files
# or take code from elsewhere. Classes of other packages are accepted if somebody has registered them in this process.
_PARTS = (
    *(f'mmpretrain.models.{room}.' for room in ('backbones', 'necks', 'heads', 'losses', 'utils')),
    *(f'mmdet.models.{room}.' for room in ('backbones', 'necks', 'dense_heads', 'roi_heads', 'seg_heads', 'losses')),
    *(f'mmdet.models.{room}.' for room in ('layers', 'detectors', 'data_preprocessors')),
    *(f'mmdet.models.task_modules.{room}.' for room in ('assigners', 'coders', 'prior_generators', 'samplers')),
    *('mmpretrain.models.classifiers.image.', 'mmengine.model.', 'mmcv.cnn.', 'mmcv.ops.', 'torch.nn.'),
)
_NO_PARTS = ('mmdet.models.detectors.d2_wrapper.', 'mmdet.models.detectors.glip.')  # of other libraries, downloading
_HOSTS = ('mmpretrain', 'mmdet', 'mmcv', 'mmengine', 'torch', 'transformers', 'timm')
# Functions that mmcv finds by name and not by registry; it evaluates those of NMS as Python.
_OPERATIONS = ('nms', 'soft_nms', 'RoIAlign', 'RoIPool')
_WORD = re.compile(r'[\w+ -]*')  # names a mode or a variant, and neither a file, an address nor an attribute
_TIMM_MODEL = re.compile(r'[\w.]+')
_FILE = re.compile(r'path|file|url|ckpt|checkpoint|model_name|folder|(^|_)(dir|root)$')  # settings that name a file
_LARGEST = 1 << 20  # integer; above all widths, numbers of layers and sizes of images that occur
_DEEPEST = 40  # levels of nesting
_SPARE = 1 << 25  # values: parts that a constructor makes and drops again, buffers that are not stored


def build_network(
    config: Mapping[str, Any], path: str | Path, host: Host, state: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build a network from the config in a file that nobody has to trust.

    Every ``type`` in the config has to be the bare name of a registered part of the host, with a host's scope as the
    only prefix; every other value a number, a word that names no file, None, or a list or dict of these. Nothing is
    imported, read or downloaded for the file; :data:`DROPPED` settings and those of training are left out.

    Args:
        config: The ``model`` of a config, as literals.
        path: The file, for messages.
        host: The library whose network it is.
        state: The file's tensors: a network with far more values is refused before it takes memory.

    Returns:
        The network, with weights as its constructors set them.

    Raises:
        CheckpointError: A part is unknown, a value is of another kind, the parts do not fit, or they are too large;
            names ``path`` and what was refused. Nothing was built in the first two cases.
    """
    checked = checked_config(config, path, host)
    stored = sum(value.numel() for value in (state or {}).values() if isinstance(value, Tensor))
    try:
        with AllocationLimit(None if state is None else 8 * stored + _SPARE):
            return _registries(host)[0].build(ConfigDict(checked, _scope_=host))
    except Exception as error:  # constructors raise anything
        reason = str(error).split('\n')[0]
        raise CheckpointError(
            f'{path} contains a config that cannot be built ({reason}): check that it was written with this version.'
        ) from error


def checked_config(config: Mapping[str, Any], path: str | Path, host: Host) -> dict[str, Any]:
    """A copy of a file's config that any builder may be given.

    Args:
        config: As for :func:`build_network`.
        path: As for :func:`build_network`.
        host: As for :func:`build_network`.

    Raises:
        CheckpointError: A part is unknown, or a value is of another kind.
    """
    return _checked(config, 'model', path, _registries(host))


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
    if where.count('.') + where.count('[') > _DEEPEST:
        raise _refusal(path, f'{where[:40]}…', f'{_DEEPEST} levels of nesting')
    if isinstance(value, Mapping):
        if 'type' in value:
            _check_type(value, where, path, registries)
        kept = [key for key in value if key not in DROPPED and not str(key).startswith('_')]
        return {key: _checked_setting(value, key, f'{where}.{key}', path, registries) for key in kept}
    if isinstance(value, list | tuple):
        return type(value)(_checked(each, f'{where}[{k}]', path, registries) for k, each in enumerate(value))
    if value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) <= _LARGEST):
        return value
    if isinstance(value, str) and _WORD.fullmatch(value):
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
    if isinstance(value, str) and _FILE.search(str(key)):
        raise _refusal(path, where, value)
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
    if not inspect.isclass(found) or module.startswith(_NO_PARTS):
        return False
    return module.startswith(_PARTS) or module.split('.')[0] not in _HOSTS


def _refusal(path: str | Path, where: str, value: Any) -> CheckpointError:
    return CheckpointError(
        f'{path} names {value!r} as {where}, which is no known part of a network, or no plain value: nothing was '
        f'built or run; get the file from a trusted source, or train it again with a shipped config.'
    )
