"""The same network in torchvision or timm, and which of its tensors is which."""

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torchvision
from torch import Tensor, nn

from uscl_plugin.compat.backbone_io import pool

from .architectures import structure
from .checkpoint_error import CheckpointError

Library = Literal['torchvision', 'timm']
State = Mapping[str, Tensor]

TOLERANCE = 1e-5  # relative
KEEPING = 'mmpretrain, mmdet, mmseg or onnx'  # targets that take every backbone

# Type of MMPretrain's backbone → the name of the network that may be the same. A name is a proposal: tensors have to
# fit and features to agree.
_NAMES: dict[str, dict[str, Callable[[Any], str]]] = {
    'torchvision': {
        'ResNet': lambda c: f'resnet{c["depth"]}',
        'ResNeXt': lambda c: f'resnext{c["depth"]}_{c.get("groups", 32)}x{c.get("width_per_group", 4)}d',
        'RegNet': lambda c: c['arch'].replace('regnetx_', 'regnet_x_').replace('.', '_'),
        'MobileNetV3': lambda c: f'mobilenet_v3_{c.get("arch", "small")}',
        'ConvNeXt': lambda c: f'convnext_{c.get("arch", "tiny")}',
        'SwinTransformer': lambda c: f'swin_{c.get("arch", "tiny")[0]}',
        'ShuffleNetV2': lambda c: f'shufflenet_v2_x{c.get("widen_factor", 1.0)}'.replace('.', '_'),
    },
    'timm': {
        'ResNet': lambda c: f'resnet{c["depth"]}',
        'ResNetV1d': lambda c: f'resnet{c["depth"]}d',
        'ResNeXt': lambda c: f'resnext{c["depth"]}_{c.get("groups", 32)}x{c.get("width_per_group", 4)}d',
        'SEResNet': lambda c: f'seresnet{c["depth"]}',
        'RegNet': lambda c: f'regnetx_{_hundreds(c["arch"]):03d}',
        'ConvNeXt': lambda c: f'convnext_{c.get("arch", "tiny")}',
        'SwinTransformer': lambda c: f'swin_{c.get("arch", "tiny")}_patch4_window7_224',
        'VisionTransformer': lambda c: f'{c.get("arch", "base")}_patch{c.get("patch_size", 16)}_224'.replace('-', '_'),
        'EfficientNet': lambda c: f'tf_efficientnet_{c.get("arch", "b0")}',
        'TIMMBackbone': lambda c: c['model_name'],
        'MapTIMMBackbone': lambda c: c['model_name'],
    },
}
_SELECTING = ('type', 'depth', 'arch', 'groups', 'width_per_group', 'widen_factor', 'out_type', 'in_channels')
_SIZED = ('vit_', 'deit_', 'swin_')  # timm's networks that are built for images of one size
_SHORTCUT = re.compile(r'(^|\.)(downsample|proj)\.(\d|conv|bn)$')
# Of one-dimensional indices into tables, which follow from the architecture
_DERIVED = '.relative_position_index'


@dataclass(frozen=True)
class Counterpart:
    """The network of another library that computes the same.

    Attributes:
        library: The library.
        name: Name of the model there.
        arguments: Arguments that its constructor needs.
        network: The model without classifier: (N, C, H, W) → pooled (N, D).
        names: Our names of tensors → its names.
        merged: Our names of tensors whose inputs have another order, those of Swin's patch merging.
    """

    library: Library
    name: str
    arguments: dict[str, Any]
    network: nn.Module
    names: dict[str, str]
    merged: frozenset[str]

    def to_theirs(self, state: State) -> dict[str, Tensor]:
        """Our state dict as theirs, without classifier."""
        found = self.network.state_dict()
        for name, other in self.names.items():
            tensor = _reordered(state[name]) if name in self.merged else state[name]
            found[other] = tensor.reshape(found[other].shape)
        return found

    def to_ours(self, theirs: State, ours: nn.Module) -> dict[str, Tensor]:
        """Their state dict as that of our network."""
        found = dict(ours.state_dict())
        for name, other in self.names.items():
            tensor = theirs[other].reshape(found[name].shape)
            found[name] = _reordered(tensor, back=True) if name in self.merged else tensor
        return found


def find_counterpart(config: Mapping[str, Any], ours: nn.Module, library: Library, size: int) -> Counterpart:
    """The same network in another library, found by the tensors in the order in which both use them.

    Args:
        config: Config of our backbone, of MMPretrain.
        ours: The backbone; its weights are not changed.
        library: The other library.
        size: Side length of an image in pixels.

    Raises:
        CheckpointError: The library has no such network, or is missing; the message says what differs.
    """
    name, arguments = _proposal(config, library)
    if library == 'timm' and name.startswith(_SIZED):
        arguments['img_size'] = size
    theirs = _build(library, name, arguments)
    image = torch.zeros(1, 3, size, size)
    mine, yours = (_in_order(network, image) for network in (ours, theirs))
    own, other = ours.state_dict(), theirs.state_dict()
    for order in (_shortcuts_first, list):  # libraries differ in when a block computes its shortcut
        pairs = list(zip(order(mine), order(yours), strict=False))
        if len(mine) == len(yours) and all(own[a].numel() == other[b].numel() for a, b in pairs):
            break
    else:
        raise _refusal(config, library, name, 'its layers have other sizes')
    names = dict(pairs)
    merging = [name for name, module in ours.named_modules() if type(module).__name__ == 'PatchMerging']
    merged = frozenset(name for name in names if name.rpartition('.')[0].rpartition('.')[0] in merging)
    merged = merged if 'TIMM' not in str(config['type']) else frozenset()
    return Counterpart(library, name, arguments, theirs, names, merged)


def check_same(config: Mapping[str, Any], ours: nn.Module, found: Counterpart, state: State, size: int) -> None:
    """Compare both networks with the same weights, on noise.

    Args:
        config: Config of our backbone.
        ours: Our backbone with its weights, in evaluation mode.
        found: The other, which gets these weights.
        state: Our weights.
        size: Side length of the images in pixels.

    Raises:
        CheckpointError: Features differ; the message says which settings do.
    """
    found.network.load_state_dict(found.to_theirs(state), strict=True)
    for name, other in found.names.items():  # too small a difference to be seen in the features
        eps = [
            getattr(net.get_submodule(key.rpartition('.')[0]), 'eps', 0)
            for net, key in ((ours, name), (found.network, other))
        ]
        if eps[0] != eps[1]:
            raise _refusal(config, found.library, found.name, f'its norms have eps {eps[1]:g} instead of {eps[0]:g}')
    image = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, got = (pool(network(image)) for network in (ours, found.network))
    if got.shape != expected.shape:
        raise _refusal(config, found.library, found.name, f'it has {got.shape[1]} features')
    difference = float((got - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
    if not difference <= TOLERANCE:
        raise _refusal(config, found.library, found.name, f'its features differ by {difference:.1g} at {size} px')


def _proposal(config: Mapping[str, Any], library: Library) -> tuple[str, dict[str, Any]]:
    kind = str(config['type']).rpartition('.')[2]
    if library == 'timm':
        try:
            import timm
        except ImportError as error:
            raise CheckpointError("timm's names need timm: pip install 'uscl_plugin[export]'.") from error
        known: Any = timm.list_models()
    else:
        known = torchvision.models.list_models(torchvision.models)
    name = _NAMES[library][kind](config) if kind in _NAMES[library] else ''
    if name not in known:
        what = (
            f"timm's {config['model_name']}" if 'model_name' in config else f'{kind} {config.get("arch", "")}'.strip()
        )
        raise CheckpointError(
            f'{library} has no network that is known to be the same as {what}: export --to {KEEPING}.'
        )
    if kind == 'SwinTransformer':
        pads = library == 'timm' and config.get('pad_small_map')
        return name, {'always_partition': True} if pads else {}  # keeps the size of windows
    if name.startswith(('vit_', 'deit_')) and (kind == 'MapTIMMBackbone' or config.get('out_type') == 'featmap'):
        return name, {'global_pool': 'avg', 'fc_norm': False}  # of patch tokens, after the norm that each token has
    return name, {}


def _build(library: Library, name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The model with random weights, without classifier."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        if library == 'timm':
            import timm

            return timm.create_model(name, num_classes=0, **arguments).eval()
        network = torchvision.models.get_model(name)
    for place in ('fc', 'head', 'classifier'):
        last = getattr(network, place, None)
        if isinstance(last, nn.Sequential) and isinstance(last[0], nn.LayerNorm):
            last[-1] = nn.Identity()  # ConvNeXt's norm belongs to its features
        elif last is not None:
            setattr(network, place, nn.Identity())
    return network.eval()


@torch.no_grad()
def _in_order(network: nn.Module, image: Tensor) -> list[str]:
    """Names of tensors in the order in which a network uses them."""
    calls: dict[str, int] = {}

    def note(name: str) -> None:
        calls.setdefault(name, len(calls))

    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: note(name)) for name, module in network.named_modules()
    ]
    training = network.training
    network.eval()
    network(image)
    network.train(training)  # a separate call, because MMPretrain's eval() returns None
    for handle in handles:
        handle.remove()
    ranks: dict[str, tuple[int, int]] = {}
    for place, (name, _) in enumerate(network.named_modules()):  # parents come first
        parent = name.rpartition('.')[0]
        ranks[name] = (calls[name], 0) if name in calls else (ranks.get(parent, (0, 0))[0], place)
    names = [name for name in network.state_dict() if not name.endswith(_DERIVED)]
    names.sort(key=lambda name: ranks[name.rpartition('.')[0]])
    return names


def _shortcuts_first(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: not _SHORTCUT.search(name.rpartition('.')[0]))


def _reordered(tensor: Tensor, back: bool = False) -> Tensor:
    """Inputs of Swin's patch merging: MMPretrain has them by channel, the others by place; their last dimension."""
    *first, width = tensor.shape
    if back:
        return tensor.reshape(*first, 4, width // 4)[..., [0, 2, 1, 3], :].transpose(-1, -2).reshape(tensor.shape)
    return tensor.reshape(*first, width // 4, 4).transpose(-1, -2)[..., [0, 2, 1, 3], :].reshape(tensor.shape)


def _refusal(config: Mapping[str, Any], library: str, name: str, reason: str) -> CheckpointError:
    own = {key: value for key, value in structure(config).items() if key not in _SELECTING}
    settings = ', '.join(f'{key}={value}' for key, value in own.items())
    why = f'this backbone has {settings}' if settings else reason
    return CheckpointError(f"{library}'s {name} is another network ({why}): export --to {KEEPING}.")


def _hundreds(arch: str) -> int:
    """RegNet's size in units of 100 million operations.

    >>> _hundreds('regnetx_400mf'), _hundreds('regnetx_1.6gf')
    (4, 16)
    """
    number, unit = arch.removeprefix('regnetx_')[:-2], arch[-2:]
    return round(float(number) * {'mf': 0.01, 'gf': 10}[unit])
