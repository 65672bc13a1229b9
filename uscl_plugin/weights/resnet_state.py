"""Recognise the ResNet in a state dict, regardless of which library named its tensors."""

import re
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
import torchvision

from .checkpoint_error import CheckpointError
from .strict_loading import differences, in_words

RESNET_DEPTHS = (18, 34, 50, 101, 152)
# nn.Sequential over the children of torchvision's or timm's ResNet (released USCL code, Lightly's examples): 2, 3 and 8
# (ReLU and the two poolings) have no tensors.
CHILDREN = {'0': 'conv1', '1': 'bn1', '4': 'layer1', '5': 'layer2', '6': 'layer3', '7': 'layer4'}
# Modules after the pooling that torchvision, timm, MoCo, SwAV and others attach under the backbone's prefix.
HEADS = ('fc', 'head', 'projection_head', 'prediction_head', 'projector', 'predictor', 'prototypes', 'classifier')
STAGE = re.compile(r'(?P<prefix>(?:[^.]+\.)*?)(?:layer[1-4]|(?P<child>[4-7]))\.0\.conv1\.weight')
# Averages of the trained network over training steps: MoCo's key encoder, BYOL's target, DINO's teacher.
AVERAGED = re.compile(r'(^|[._])(momentum|ema|target|teacher|key|k)([._]|$)')

State = OrderedDict[str, torch.Tensor]


@dataclass(frozen=True)
class FoundBackbone:
    """A backbone and its surroundings in a checkpoint.

    Attributes:
        state: Torchvision's names to tensors; other tensors keep their name after the prefix.
        prefix: Prefix of the backbone's names in the checkpoint.
        passed_over: Prefixes of further backbones.
        left: Other contents: first name (or prefix of a further backbone) to number of tensors.
    """

    state: State
    prefix: str
    passed_over: tuple[str, ...]
    left: dict[str, int]

    @property
    def choice(self) -> str | None:
        """One sentence about the choice between several backbones, or None if there is only one."""
        if not self.passed_over:
            return None
        others = ' and '.join(f'"{prefix}"' for prefix in self.passed_over)
        return f'of several backbones "{self.prefix}" was used and {others} ignored'


def backbone_state(checkpoint: Mapping, prefix: str | None = None) -> State:
    """Torchvision's names to the tensors of the backbone in a checkpoint, see :func:`find_backbone`.

    Warns if it chooses between several backbones, unless the chosen one is called ``backbone``.
    """
    found = find_backbone(checkpoint, prefix)
    if found.choice and found.prefix != 'backbone.':
        warnings.warn(f'{found.choice}: use import_backbone.py --prefix for another.', stacklevel=2)
    return found.state


def find_backbone(checkpoint: Mapping, prefix: str | None = None) -> FoundBackbone:
    """Find the backbone's tensors in a checkpoint.

    A ResNet is recognised by its stages under any prefix, with torchvision's names or those of an ``nn.Sequential``
    over its children (:data:`CHILDREN`). Of several, averages of another one (MoCo's key encoder, a target or a
    teacher) are ignored, and ``backbone.`` is preferred among the rest.

    Args:
        checkpoint: A dict with a ``state_dict``, a state dict, or nested dicts of tensors. With bare names, and for any
            prefix of a recognised ResNet, :data:`HEADS` do not belong to the backbone.
        prefix: Prefix of the backbone's names, such as ``backbone.``; None to recognise it.

    Returns:
        The backbone, including anything else with its prefix. Batch norm counters missing from old files, such as
        torchvision's first ImageNet weights, are set to 0, because no result depends on them.

    Raises:
        CheckpointError: The checkpoint has no backbone, or several that differ.
    """
    tensors = _tensors(checkpoint)
    networks = _networks(tensors)
    if prefix is not None:
        prefix = prefix.rstrip('.') + '.' if prefix else ''
        others = [other for other in networks if other != prefix]
    elif networks:
        prefix, others = _choose(tensors, networks)
    else:  # of unknown kind; the comparison with a ResNet will report what is wrong
        prefix = 'backbone.' if any(name.startswith('backbone.') for name in tensors) else ''
        others = []
    own = [name for name in tensors if name.startswith(prefix) and not (not prefix and _group(name, others) in others)]
    renamed = _torchvision_names(own, prefix, networks.get(prefix))
    if not renamed or not (prefix in networks or prefix or 'conv1.weight' in tensors):
        groups = sorted({name.split('.')[0] for name in tensors})
        raise CheckpointError(
            f'There is no backbone: no tensor is named "{prefix or "backbone."}…" or, as in torchvision, '
            f'"conv1.weight"; top-level names are {groups[:8] or "none"}: pass a checkpoint of USCL or of a ResNet.'
        )
    state: State = OrderedDict((new, tensors[name]) for name, new in renamed.items())
    for name in [name for name in state if name.endswith('.running_mean')]:  # files from before torch 0.4.1 lack these
        state.setdefault(f'{name.removesuffix("running_mean")}num_batches_tracked', torch.tensor(0))
    left = Counter(_group(name, [*others, prefix]) for name in tensors if name not in renamed)
    return FoundBackbone(state, prefix, tuple(others), dict(left))


def _torchvision_names(names: Iterable[str], prefix: str, numbered: bool | None) -> dict[str, str]:
    """Map names in the checkpoint to torchvision's, leaving out those of heads.

    Args:
        names: All names with the prefix.
        prefix: Prefix of the backbone.
        numbered: Whether its children are numbered; None if it was not recognised as a ResNet.
    """
    renamed = {}
    for name in names:
        first, dot, rest = name.removeprefix(prefix).partition('.')
        if numbered:
            # Words are names of heads next to the numbered children; an unknown number is kept, and later reported as
            # left over.
            if first.isdigit():
                renamed[name] = CHILDREN[first] + dot + rest if first in CHILDREN else name
        elif first not in HEADS or (numbered is None and prefix):
            renamed[name] = name.removeprefix(prefix)
    return renamed


def _tensors(checkpoint: Mapping) -> dict[str, torch.Tensor]:
    """Names to tensors: those in ``state_dict``, or in all dicts of the checkpoint, joined by dots."""
    state = checkpoint.get('state_dict', checkpoint)
    return dict(_flat(state)) if isinstance(state, Mapping) else {}


def _flat(state: Mapping, prefix: str = '') -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in state.items():
        if isinstance(name, str) and isinstance(value, torch.Tensor):
            yield prefix + name, value
        elif isinstance(name, str) and isinstance(value, Mapping):
            yield from _flat(value, f'{prefix}{name}.')


def _networks(tensors: Mapping[str, torch.Tensor]) -> dict[str, bool]:
    """Prefixes of ResNets, each with whether its children are numbered."""
    found = {match['prefix']: match['child'] is not None for match in map(STAGE.fullmatch, tensors) if match}
    networks = {
        prefix: numbered
        for prefix, numbered in found.items()
        if not numbered or f'{prefix}0.weight' in tensors or f'{prefix}1.weight' in tensors
        # A network within another belongs to it, except that everything lies within a bare one.
        if not any(prefix != other and prefix.startswith(other) for other in found if other)
    }
    # If there is a backbone of another kind, no ResNet next to it may replace it.
    other_kind = any(name.startswith('backbone.') for name in tensors) and not any(
        prefix.startswith('backbone.') for prefix in networks
    )
    return {} if other_kind else networks


def _choose(tensors: Mapping[str, torch.Tensor], networks: Mapping[str, bool]) -> tuple[str, list[str]]:
    """The prefix of the backbone, and those of the ignored networks."""
    trained = [prefix for prefix in networks if not AVERAGED.search(prefix)] or list(networks)
    if 'backbone.' in trained:
        chosen = 'backbone.'
    elif len(trained) == 1 or all(_same(tensors, trained[0], other) for other in trained[1:]):
        chosen = trained[0]
    else:
        listed = ', '.join(f'"{prefix}"' for prefix in trained)
        raise CheckpointError(
            f'There are {len(trained)} backbones ({listed}): choose one with import_backbone.py --prefix.'
        )
    # The same tensors under two names (MoCo's encoder_q.0 and backbone) are not a choice.
    return chosen, [other for other in networks if other != chosen and not _same(tensors, chosen, other)]


def _same(tensors: Mapping[str, torch.Tensor], prefix: str, other: str) -> bool:
    """Whether two prefixes have the same names and values."""
    ours, theirs = (
        {name.removeprefix(own): tensor for name, tensor in tensors.items() if name.startswith(own)}
        for own in (prefix, other)
    )
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def _group(name: str, prefixes: Iterable[str]) -> str:
    """The prefix of a name, with the next word if that is a head's; otherwise its first word."""
    prefix = next((prefix for prefix in prefixes if prefix and name.startswith(prefix)), '')
    first = name.removeprefix(prefix).partition('.')[0]
    return prefix + first if first in HEADS or not prefix else prefix


@lru_cache
def resnet_shapes(depth: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's ``resnet{depth}`` without ``fc``, including buffers; allocates no memory."""
    with torch.device('meta'):
        model = getattr(torchvision.models, f'resnet{depth}')()
    return {name: tuple(value.shape) for name, value in model.state_dict().items() if not name.startswith('fc.')}


def infer_resnet_depth(state: Mapping[str, torch.Tensor]) -> int:
    """Depth of the torchvision ResNet whose names and shapes exactly match ``state``.

    Args:
        state: Bare names to tensors, without ``fc``.

    Returns:
        18, 34, 50, 101 or 152.

    Raises:
        CheckpointError: None matches; the message lists the differences from the closest.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    against = {depth: differences(shapes, resnet_shapes(depth)) for depth in RESNET_DEPTHS}
    depth = min(RESNET_DEPTHS, key=lambda candidate: sum(map(len, against[candidate].values())))
    if not any(against[depth].values()):
        return depth
    raise CheckpointError(
        f'The backbone is not a torchvision ResNet (18, 34, 50, 101 or 152); the closest is resnet{depth}: '
        f'{in_words(against[depth])}; convert such a backbone by hand, or pass the checkpoint of a plain ResNet.'
    )
