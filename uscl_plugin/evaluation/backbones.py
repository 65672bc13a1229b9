"""Backbones by what a user calls them on a command line: a checkpoint's path, with or without a name, or ``random``."""

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
from uscl_plugin.weights.checkpoint_files import write_checkpoint
from uscl_plugin.weights.input_metadata import INPUT_KEYS, file_source, resolve_input, stored_metadata
from uscl_plugin.weights.plain_checkpoints import checkpoint_meta, load_plain_checkpoint
from uscl_plugin.weights.resnet_state import RESNET_DEPTHS, backbone_state, infer_resnet_depth

# What torchvision's and timm's ImageNet ResNets were trained with, for values of 0..255.
IMAGENET_INPUT = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375], 'channel_order': 'rgb'}
# What the pretraining configs of this package use, so that trained and untrained networks see the same.
UNTRAINED_INPUT = {'mean': [127.5] * 3, 'std': [63.75] * 3, 'channel_order': 'rgb'}


@dataclass(frozen=True)
class PretrainedBackbone:
    """A backbone with the input it expects.

    Attributes:
        name: For rows of tables and panels of figures.
        network: MMPretrain's ResNet in evaluation mode on the CPU: (B, 3, H, W) → a tuple of one (B, C, H/32, W/32).
        depth: 18, 34, 50, 101 or 152.
        mean: Three values in [0, 255] to subtract, in the channel order that the network gets.
        std: Three values above 0 to divide by.
        to_rgb: Whether the network gets red, green, blue; else blue, green, red.
        source: ``{'file': name, 'sha256': digest}``, or ``{'file': 'random', 'seed': seed}``.
    """

    name: str
    network: nn.Module
    depth: int
    mean: list[float]
    std: list[float]
    to_rgb: bool
    source: dict[str, Any]


def load_backbone(spec: str, seed: int = 0, given: Mapping[str, Any] | None = None) -> PretrainedBackbone:
    """Load the backbone of a checkpoint, or make one that was never trained.

    A torchvision state dict with ``fc.weight`` of 1,000 rows says nothing about its input and is taken to be ImageNet's
    (:data:`IMAGENET_INPUT`), but for what ``given`` says. An untrained network takes :data:`UNTRAINED_INPUT` likewise.

    Args:
        spec: ``PATH`` or ``NAME=PATH`` of a checkpoint that :func:`~uscl_plugin.weights.resnet_state.backbone_state`
            understands; or ``random`` (ResNet-18), ``random34``, …
        seed: Of the untrained weights, which are torchvision's initialisation in distribution. The global generator
            stays as it was.
        given: ``mean``, ``std``, ``channel_order`` for checkpoints that do not say, see
            :func:`~uscl_plugin.weights.input_metadata.resolve_input`.

    Returns:
        The network, loaded strictly, with its input settings.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It is not readable, has no plain ResNet, or its input is unknown or contradicts ``given``.
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
        stored = stored_metadata(checkpoint_meta(checkpoint))
        if _is_imagenet(checkpoint) and not stored.keys() & set(INPUT_KEYS):
            known = IMAGENET_INPUT | known
        settled = resolve_input(path, stored, known)
        source = file_source(path)
    network.eval()  # MMPretrain's returns nothing
    to_rgb = settled['channel_order'] == 'rgb'
    return PretrainedBackbone(name, network, depth, settled['mean'], settled['std'], to_rgb, source)


def build_resnet(depth: int) -> ResNet:
    """MMPretrain's ResNet whose residual branches start at 1, as torchvision's do; its own default starts them at 0.

    Args:
        depth: 18, 34, 50, 101 or 152.

    Returns:
        (B, 3, H, W) → a tuple of one (B, C, H/32, W/32); weights as its constructor leaves them.
    """
    return ResNet(depth, out_indices=(3,), zero_init_residual=False)


def write_backbone(path: str | Path, backbone: PretrainedBackbone) -> None:
    """Write a backbone in MMPretrain's names with the input it expects, for configs to start from."""
    meta = {'mean': backbone.mean, 'std': backbone.std, 'channel_order': 'rgb' if backbone.to_rgb else 'bgr'}
    state = {f'backbone.{key}': value for key, value in backbone.network.state_dict().items()}
    write_checkpoint(path, state, meta | {'source': backbone.source})


def unique_names(specs: Sequence[str]) -> list[str]:
    """Names of the rows of a table of backbones.

    Args:
        specs: As in :func:`load_backbone`.

    Returns:
        The given names, else the files' stems, preceded by as many folders as it takes to tell equal ones apart.

    Raises:
        ValueError: One name is given twice, or one file.

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
            raise ValueError(f'Two backbones are called {names[clashing[0]]!r}: write NAME=PATH, with another name.')
        for k in longer:
            used[k] += 1


def split_spec(spec: str) -> tuple[str | None, str]:
    """Divide ``NAME=PATH`` into both; a path alone has the name None, even if an '=' is in one of its folders.

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
    """Whether a checkpoint has torchvision's names and ImageNet's number of classes."""
    state = checkpoint.get('state_dict', checkpoint)
    return 'conv1.weight' in state and len(state.get('fc.weight', ())) == 1000
