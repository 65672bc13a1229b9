"""Backbones as named on the command line: a checkpoint's path, with or without a name, or ``random``."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from uscl.checks.seen_data import Seen, stored_seen
from uscl_plugin.weights.architectures import (
    OutputKind,
    architecture_name,
    backbone_config,
    build_backbone,
    output_kind,
)
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.checkpoint_files import write_checkpoint
from uscl_plugin.weights.input_metadata import INPUT_KEYS, file_source, resolve_input, stored_metadata
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.provenance import VERSION, kept_provenance
from uscl_plugin.weights.stored_backbone import read_backbone

# Input of torchvision's and timm's ImageNet ResNets, for values of 0..255.
IMAGENET_INPUT = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375], 'channel_order': 'rgb'}
# Input of this package's pretraining configs, so that trained and untrained networks get the same.
UNTRAINED_INPUT = {'mean': [127.5] * 3, 'std': [63.75] * 3, 'channel_order': 'rgb'}


@dataclass(frozen=True)
class PretrainedBackbone:
    """A backbone with the input it expects.

    Attributes:
        name: Display name for table rows and figure panels.
        network: The backbone in evaluation mode on the CPU: (B, 3, H, W) → a tuple, of which the last is used.
        config: Its config, of MMPretrain, without settings of training.
        size: Side length in pixels of the images that it was trained on; None if not known.
        mean: Three values in [0, 255] to subtract, in the network's channel order.
        std: Three values above 0 to divide by.
        to_rgb: Whether the network expects RGB; otherwise BGR.
        source: ``{'file': name, 'sha256': digest}``, or ``{'file': 'random', 'seed': seed}``.
        seen: What it was trained on.
    """

    name: str
    network: nn.Module
    config: dict[str, Any]
    size: int | None
    mean: list[float]
    std: list[float]
    to_rgb: bool
    source: dict[str, Any]
    seen: Seen

    @property
    def architecture(self) -> str:
        """A short name, such as ``resnet18``."""
        return architecture_name(self.config)

    @property
    def identity(self) -> str:
        """Text that identifies the weights: the digest of their file, or architecture and seed."""
        return self.source.get('sha256', f'random {self.architecture}, seed {self.source.get("seed")}')

    @property
    def output(self) -> OutputKind:
        """What it returns for an image."""
        return output_kind(self.network, self.config.get('img_size') or 64)


def load_backbone(spec: str, seed: int = 0, given: Mapping[str, Any] | None = None) -> PretrainedBackbone:
    """Load the backbone of a checkpoint, or build an untrained one.

    A torchvision state dict with a 1,000-row ``fc.weight`` does not state its input and is assumed to be trained on
    ImageNet (:data:`IMAGENET_INPUT`), except for what ``given`` states. An untrained network uses
    :data:`UNTRAINED_INPUT` in the same way. A network of grey images becomes the equal one of RGB.

    Args:
        spec: ``PATH`` or ``NAME=PATH`` of a checkpoint, see :func:`~uscl_plugin.weights.stored_backbone.read_backbone`;
            or an untrained network: ``random`` (ResNet-18), ``random34``, …, ``random:ARCHITECTURE`` (see
            :func:`~uscl_plugin.weights.architectures.backbone_config`) or ``random:PATH``, that of a checkpoint.
        seed: Seed of the untrained weights. The global generator is not affected.
        given: ``mean``, ``std``, ``channel_order`` for checkpoints that do not state them, see
            :func:`~uscl_plugin.weights.input_metadata.resolve_input`.

    Returns:
        The network, loaded strictly, with its input settings.

    Raises:
        FileNotFoundError: The file does not exist.
        CheckpointError: The file is not readable, contains no backbone, or its input is unknown or contradicts
            ``given``; there is no architecture of this name.
    """
    (name,) = unique_names([spec])
    _, path = split_spec(spec)
    known = {key: value for key, value in (given or {}).items() if value is not None}
    untrained = _untrained_name(path)
    if untrained is not None:
        config, size, stored = _untrained_config(untrained, path)
        network = _untrained(config, seed)
        known = {key: value for key, value in UNTRAINED_INPUT.items() if key not in stored} | known
        source: dict[str, Any] = {'file': 'random', 'seed': seed}
        seen = Seen()
    else:
        checkpoint = load_plain_checkpoint(path)
        found = read_backbone(path, checkpoint).for_colour(path)
        network, config, stored = found.build(path), found.config, stored_metadata(found.meta)
        size = found.size
        if _is_imagenet(checkpoint) and not stored.keys() & set(INPUT_KEYS):
            known = IMAGENET_INPUT | known
        source, seen = file_source(path), stored_seen(kept_provenance(found.meta).get('uscl', {}))
    settled = resolve_input(path, stored, known)
    to_rgb = settled['channel_order'] == 'rgb'
    return PretrainedBackbone(name, network, config, size, settled['mean'], settled['std'], to_rgb, source, seen)


def check_backbones(specs: Sequence[str], given: Mapping[str, Any] | None = None) -> None:
    """Load every backbone once, so that a wrong one stops a run before anything is computed.

    Args:
        specs: As in :func:`load_backbone`.
        given: As in :func:`load_backbone`.

    Raises:
        FileNotFoundError: Files do not exist; the message names each.
        CheckpointError: See :func:`load_backbone`.
    """
    paths = [path for _, path in map(split_spec, specs) if _untrained_name(path) is None]
    if missing := [path for path in dict.fromkeys(paths) if not Path(path).is_file()]:
        verb = 'does' if len(missing) == 1 else 'do'
        raise FileNotFoundError(f'{", ".join(missing)} {verb} not exist: check the path of each checkpoint.')
    for spec in specs:
        load_backbone(spec, given=given)


def is_untrained(spec: str) -> bool:
    """Whether a backbone on the command line is an untrained network.

    >>> is_untrained('random'), is_untrained('ours=random:swin_tiny'), is_untrained('a.pth')
    (True, True, False)
    """
    return _untrained_name(split_spec(spec)[1]) is not None


def write_backbone(path: str | Path, backbone: PretrainedBackbone) -> None:
    """Write a backbone with MMPretrain's names, its config and the input it expects, for configs to start from."""
    order = 'rgb' if backbone.to_rgb else 'bgr'
    own = {'size': backbone.size, 'mean': backbone.mean, 'std': backbone.std, 'channels': order}
    meta: dict[str, Any] = {'mean': backbone.mean, 'std': backbone.std, 'channel_order': order}
    meta['uscl'] = {'version': VERSION, 'backbone': backbone.config, 'input': own, 'seen': backbone.seen.as_plain()}
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
        is_file = _untrained_name(path) is None
        parts.append((name,) if name else Path(path).with_suffix('').parts if is_file else (path,))
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


def _untrained_name(path: str) -> str | None:
    """The architecture in ``random…``, the path of a checkpoint in ``random:PATH``; None for anything else."""
    match = re.fullmatch(r'random(\d*)(:(?P<name>.+))?', path)
    if match is None:
        return None
    return match['name'] or f'resnet{match[1] or 18}'


def _untrained_config(name: str, spec: str) -> tuple[dict[str, Any], int | None, dict[str, Any]]:
    """Config of an untrained network, size and normalisation of its input as far as they are known."""
    if Path(name).expanduser().is_file() and not name.endswith('.py'):
        found = read_backbone(Path(name).expanduser())
        return found.config, found.size, stored_metadata(found.meta)
    try:
        return backbone_config(name, 224), None, {}
    except ValueError as error:
        raise CheckpointError(f'{spec}: {error}') from error


def _untrained(config: Mapping[str, Any], seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_backbone(config)
        network.init_weights()
    network.eval()  # a separate call, because MMPretrain's eval() returns None
    return network


def _is_imagenet(checkpoint: Mapping[str, Any]) -> bool:
    """Whether a checkpoint has torchvision's names and the number of ImageNet classes."""
    state = checkpoint.get('state_dict', checkpoint)
    return 'conv1.weight' in state and len(state.get('fc.weight', ())) == 1000
