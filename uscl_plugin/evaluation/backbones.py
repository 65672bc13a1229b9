"""Backbones as named on the command line: a checkpoint's path, with or without a name, or ``random``."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmpretrain.models import ResNet
from torch import nn

from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.checkpoint_files import stated_meta, write_checkpoint
from uscl_plugin.weights.input_metadata import INPUT_KEYS, file_source, resolve_input, stored_metadata
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.resnet_state import RESNET_DEPTHS, backbone_state, infer_resnet_depth

# Input of torchvision's and timm's ImageNet ResNets, for values of 0..255.
IMAGENET_INPUT = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375], 'channel_order': 'rgb'}
# Input of this package's pretraining configs, so that trained and untrained networks get the same.
UNTRAINED_INPUT = {'mean': [127.5] * 3, 'std': [63.75] * 3, 'channel_order': 'rgb'}


@dataclass(frozen=True)
class PretrainedBackbone:
    """A backbone with the input it expects.

    Attributes:
        name: Display name for table rows and figure panels.
        network: MMPretrain's ResNet in evaluation mode on the CPU: (B, 3, H, W) → a tuple of one (B, C, H/32, W/32).
        depth: 18, 34, 50, 101 or 152.
        mean: Three values in [0, 255] to subtract, in the network's channel order.
        std: Three values above 0 to divide by.
        to_rgb: Whether the network expects RGB; otherwise BGR.
        source: ``{'file': name, 'sha256': digest}``, or ``{'file': 'random', 'seed': seed}``.
    """

    name: str
    network: nn.Module
    depth: int
    mean: list[float]
    std: list[float]
    to_rgb: bool
    source: dict[str, Any]

    @property
    def identity(self) -> str:
        """Text that identifies the weights: the digest of their file, or depth and seed."""
        return self.source.get('sha256', f'random ResNet-{self.depth}, seed {self.source.get("seed")}')


def load_backbone(spec: str, seed: int = 0, given: Mapping[str, Any] | None = None) -> PretrainedBackbone:
    """Load the backbone of a checkpoint, or build an untrained one.

    A torchvision state dict with a 1,000-row ``fc.weight`` does not state its input and is assumed to be trained on
    ImageNet (:data:`IMAGENET_INPUT`), except for what ``given`` states. An untrained network uses
    :data:`UNTRAINED_INPUT` in the same way.

    Args:
        spec: ``PATH`` or ``NAME=PATH`` of a checkpoint that :func:`~uscl_plugin.weights.resnet_state.backbone_state`
            understands; or ``random`` (ResNet-18), ``random34``, …
        seed: Seed of the untrained weights, which follow torchvision's initialisation. The global generator is not
            affected.
        given: ``mean``, ``std``, ``channel_order`` for checkpoints that do not state them, see
            :func:`~uscl_plugin.weights.input_metadata.resolve_input`.

    Returns:
        The network, loaded strictly, with its input settings.

    Raises:
        FileNotFoundError: The file does not exist.
        CheckpointError: The file is not readable, contains no plain ResNet, or its input is unknown or contradicts
            ``given``.
    """
    (name,) = unique_names([spec])
    _, path = split_spec(spec)
    known = {key: value for key, value in (given or {}).items() if value is not None}
    if depth := _random_depth(path):
        network = _untrained(depth, seed)
        settled = resolve_input(path, {}, UNTRAINED_INPUT | known)
        source: dict[str, Any] = {'file': 'random', 'seed': seed}
    else:
        checkpoint = load_plain_checkpoint(path)
        try:
            state = backbone_state(checkpoint)
            depth = infer_resnet_depth(state)
        except CheckpointError as error:
            raise CheckpointError(f'{path}: {error}') from error
        network = build_resnet(depth)
        network.load_state_dict(state, strict=True)
        stored = stored_metadata(stated_meta(path, checkpoint))
        if _is_imagenet(checkpoint) and not stored.keys() & set(INPUT_KEYS):
            known = IMAGENET_INPUT | known
        settled = resolve_input(path, stored, known)
        source = file_source(path)
    network.eval()  # a separate call, because MMPretrain's eval() returns None
    to_rgb = settled['channel_order'] == 'rgb'
    return PretrainedBackbone(name, network, depth, settled['mean'], settled['std'], to_rgb, source)


def check_backbones(specs: Sequence[str], given: Mapping[str, Any] | None = None) -> None:
    """Load every backbone once, so that a wrong one stops a run before anything is computed.

    Args:
        specs: As in :func:`load_backbone`.
        given: As in :func:`load_backbone`.

    Raises:
        FileNotFoundError: Files do not exist; the message names each.
        CheckpointError: See :func:`load_backbone`.
    """
    paths = [path for _, path in map(split_spec, specs) if not _random_depth(path)]
    if missing := [path for path in dict.fromkeys(paths) if not Path(path).is_file()]:
        verb = 'does' if len(missing) == 1 else 'do'
        raise FileNotFoundError(f'{", ".join(missing)} {verb} not exist: check the path of each checkpoint.')
    for spec in specs:
        load_backbone(spec, given=given)


def is_untrained(spec: str) -> bool:
    """Whether a backbone on the command line is an untrained network.

    >>> is_untrained('random'), is_untrained('ours=random34'), is_untrained('a.pth')
    (True, True, False)
    """
    return _random_depth(split_spec(spec)[1]) is not None


def build_resnet(depth: int) -> ResNet:
    """MMPretrain's ResNet with residual branches that start at 1, as in torchvision; by default they start at 0.

    Args:
        depth: 18, 34, 50, 101 or 152.

    Returns:
        (B, 3, H, W) → a tuple of one (B, C, H/32, W/32); weights as initialised by the constructor.
    """
    return ResNet(depth, out_indices=(3,), zero_init_residual=False)


def write_backbone(path: str | Path, backbone: PretrainedBackbone) -> None:
    """Write a backbone with MMPretrain's names and the input it expects, for configs to start from."""
    meta = {'mean': backbone.mean, 'std': backbone.std, 'channel_order': 'rgb' if backbone.to_rgb else 'bgr'}
    state = {f'backbone.{key}': value for key, value in backbone.network.state_dict().items()}
    write_checkpoint(path, state, meta | {'source': backbone.source})


def unique_names(specs: Sequence[str]) -> list[str]:
    """Row names for a table of backbones.

    Args:
        specs: As in :func:`load_backbone`.

    Returns:
        The given names, otherwise file stems, preceded by as many folders as needed to make them unique.

    Raises:
        ValueError: A name or a file is given twice.

    >>> unique_names(['random', 'a/epoch_9.pth', 'b/epoch_9.pth', 'ours=b/epoch_8.pth'])
    ['random', 'a/epoch_9', 'b/epoch_9', 'ours']
    """
    parts = []
    for spec in specs:
        name, path = split_spec(spec)
        parts.append((name,) if name else (path,) if _random_depth(path) else Path(path).with_suffix('').parts)
    used = [1] * len(parts)
    while True:
        names = ['/'.join(own[-count:]) for own, count in zip(parts, used, strict=True)]
        counts = Counter(names)
        clashing = [k for k, name in enumerate(names) if counts[name] > 1]
        if not clashing:
            return names
        longer = [k for k in clashing if used[k] < len(parts[k])]
        if not longer:
            raise ValueError(f'Two backbones are named {names[clashing[0]]!r}: write NAME=PATH with another name.')
        for k in longer:
            used[k] += 1


def split_spec(spec: str) -> tuple[str | None, str]:
    """Split ``NAME=PATH``; a plain path has the name None, even if one of its folders contains '='.

    >>> split_spec('ours=a/b.pth'), split_spec('lr/x=1/b.pth')
    (('ours', 'a/b.pth'), (None, 'lr/x=1/b.pth'))
    """
    name, equals, path = spec.partition('=')
    if not equals or not name or '/' in name or Path(spec).is_file():
        name, path = '', spec
    return name or None, str(Path(path).expanduser())


def _random_depth(path: str) -> int | None:
    match = re.fullmatch(r'random(\d*)', path)
    if match is None:
        return None
    depth = int(match[1] or 18)
    if depth not in RESNET_DEPTHS:
        raise CheckpointError(f'{path} should be random or end in one of {", ".join(map(str, RESNET_DEPTHS))}.')
    return depth


def _untrained(depth: int, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_resnet(depth)
        network.init_weights()
    return network


def _is_imagenet(checkpoint: Mapping[str, Any]) -> bool:
    """Whether a checkpoint has torchvision's names and the number of ImageNet classes."""
    state = checkpoint.get('state_dict', checkpoint)
    return 'conv1.weight' in state and len(state.get('fc.weight', ())) == 1000
