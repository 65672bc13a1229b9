"""The backbone of a checkpoint: the network that the checkpoint describes, with its weights."""

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uscl.core.config_literals import config_literals
from uscl_plugin.compat.backbone_io import GREY_WEIGHTS, input_channels

from .architectures import TRAINING_SETTINGS, accepted_settings, architecture_name, resnet_config
from .checkpoint_error import CheckpointError
from .checkpoint_files import stated_meta
from .counterparts import find_counterpart
from .input_metadata import LARGEST_INPUT
from .network_builder import build_network, checked_config
from .plain_checkpoints import load_plain_checkpoint, stated
from .provenance import kept_provenance
from .resnet_state import find_backbone, infer_resnet_depth
from .strict_loading import load_strictly


@dataclass(frozen=True)
class StoredBackbone:
    """A backbone as a checkpoint has it.

    Attributes:
        config: Its config, of MMPretrain, without settings of training.
        state: Names of this network to tensors.
        meta: What the file says of itself.
        prefix: Prefix of these names in the file.
        left: Other contents of the file: first name (or prefix of a further backbone) to number of tensors.
        network: The network of this config, with weights as its constructor sets them.
        choice: A sentence on the choice between several backbones; None if there is one.
    """

    config: dict[str, Any]
    state: dict[str, Tensor]
    meta: Mapping[str, Any]
    prefix: str
    left: dict[str, int]
    network: nn.Module
    choice: str | None = None

    @property
    def architecture(self) -> str:
        """A short name, see :func:`.architectures.architecture_name`."""
        return architecture_name(self.config)

    @property
    def size(self) -> int | None:
        """Side length in pixels of the images that it was trained on; None if not known, or no such number."""
        side = stated(kept_provenance(self.meta), 'uscl', 'input', 'size')
        return side if isinstance(side, int) and 0 < side <= LARGEST_INPUT else None

    def build(self, path: str | Path) -> nn.Module:
        """The network in evaluation mode, on the CPU: (N, C, H, W) → a tuple, of which the last is used.

        Raises:
            CheckpointError: The weights do not fit the network that the file describes; names ``path``.
        """
        network = copy.deepcopy(self.network)  # sooner than to build another
        load_strictly(network, self.state, path, 'the file contradicts itself, so train or export it again')
        network.eval()  # a separate call, because MMPretrain's eval() returns None
        return network

    def for_colour(self, path: str | Path) -> 'StoredBackbone':
        """The same network for three channels, RGB, if it takes one, which is their grey level; else itself.

        The weights of its first convolution are the grey weights' multiples, so that outputs are equal.
        """
        # In the network's order: files may sort their tensors.
        first = next((name for name, weight in self.network.named_parameters() if weight.ndim == 4), None)
        if first is None or input_channels(self.network) != 1:
            return self
        grey = torch.tensor(GREY_WEIGHTS).view(1, 3, 1, 1)
        state = self.state | {first: self.state[first] * grey.to(self.state[first])}
        config = self.config | {'in_channels': 3}
        network = build_network(config, path, 'mmpretrain', state)
        return replace(self, config=config, state=state, network=network)


def read_backbone(
    path: str | Path, checkpoint: Mapping[str, Any] | None = None, prefix: str | None = None
) -> StoredBackbone:
    """Find the backbone in a checkpoint, and which network it is.

    The file says it itself, in ``meta.uscl`` or in the config of its run. Files without either have to hold a plain
    ResNet, which is recognised by names and shapes, see :func:`.resnet_state.find_backbone`.

    Args:
        path: The file.
        checkpoint: Its content, if it has been read.
        prefix: Prefix of the backbone's names, such as ``backbone.``; None to find it.

    Raises:
        FileNotFoundError: The file does not exist.
        CheckpointError: It is not readable, or has no such backbone; the message names it.
    """
    checkpoint = load_plain_checkpoint(path) if checkpoint is None else checkpoint
    meta = stated_meta(path, checkpoint)
    config = _stated_config(path, meta)
    if config is None:
        try:
            found = find_backbone(checkpoint, prefix)
            config = resnet_config(infer_resnet_depth(found.state))
        except CheckpointError as error:
            raise CheckpointError(f'{path}: {error}') from error
        state = dict(found.state)
        network = build_network(config, path, 'mmpretrain', state)
        return StoredBackbone(config, state, meta, found.prefix, found.left, network, found.choice)
    tensors = _tensors(checkpoint)
    network = build_network(config, path, 'mmpretrain', tensors)
    own = network.state_dict()
    for candidate in ['backbone.', ''] if prefix is None else [prefix.rstrip('.') + '.' if prefix else '']:
        if any(f'{candidate}{name}' in tensors for name in own if not name.endswith('num_batches_tracked')):
            if candidate == '' and not set(own) <= set(tensors):
                break  # names of another library
            return _taken(config, meta, tensors, candidate, network)
    library = meta.get('names')
    if library in ('torchvision', 'timm'):
        size = config.get('img_size') or 224  # Swin's windows do not fit smaller images
        found_names = find_counterpart(config, network, library, size)
        state = found_names.to_ours(tensors, network)
        return StoredBackbone(config, state, meta, '', {}, network)
    groups = sorted({name.split('.')[0] for name in tensors})[:8]
    raise CheckpointError(
        f'{path} describes a {architecture_name(config)}, but has no tensors of it under backbone., only '
        f'{", ".join(groups) or "none"}: pass the checkpoint of a run, or export it again.'
    )


def _taken(
    config: dict[str, Any], meta: Mapping[str, Any], tensors: Mapping[str, Tensor], prefix: str, network: nn.Module
) -> StoredBackbone:
    state = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    for name in [name for name in state if name.endswith('.running_mean')]:  # files from before torch 0.4.1 lack these
        state.setdefault(f'{name.removesuffix("running_mean")}num_batches_tracked', torch.tensor(0))
    left = Counter(name.split('.')[0] for name in tensors if not name.startswith(prefix))
    return StoredBackbone(config, state, meta, prefix, dict(left), network)


def _stated_config(path: str | Path, meta: Mapping[str, Any]) -> dict[str, Any] | None:
    """The backbone that a file says it has, as a config for MMPretrain; None if it says nothing."""
    found = stated(kept_provenance(meta), 'uscl', 'backbone')
    text = meta.get('cfg')
    run = config_literals(text, ('model', 'default_scope')) if isinstance(text, str) else {}
    if not found and isinstance(run.get('model'), Mapping):
        found = run['model'].get('backbone')
    if not isinstance(found, Mapping) or 'type' not in found:
        return None
    config = {key: value for key, value in found.items() if key not in TRAINING_SETTINGS and not key.startswith('_')}
    kind = str(config['type'])
    # Detectors have MMDetection's classes of the same name, with further settings that are mostly off.
    config['type'] = kind.removeprefix('mmpretrain.').removeprefix('mmdet.')
    if config['type'] == 'TIMMBackbone':  # the same network and names
        config['type'] = 'MapTIMMBackbone'
    if run.get('default_scope') == 'mmdet' or kind.startswith('mmdet.'):
        accepted = accepted_settings(config['type'])
        others = {key: value for key, value in config.items() if key not in (*accepted, 'type')}
        if on := [f'{key}={value}' for key, value in others.items() if value and any(_flat(value))]:
            raise CheckpointError(f"{path} has MMDetection's {kind} with {', '.join(on)}, which MMPretrain lacks.")
        config = {key: value for key, value in config.items() if key not in others}
    return checked_config(config, path, 'mmpretrain')


def _flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _tensors(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    state = checkpoint.get('state_dict', checkpoint)
    items = state.items() if isinstance(state, Mapping) else ()
    return {str(name): tensor for name, tensor in items if isinstance(tensor, Tensor)}
