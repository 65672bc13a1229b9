"""Methods by the names used on the command line."""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uscl.core.shipped_files import CONFIGS

_USCL = 'uscl/uscl_resnet18_1xb32-300e_us4-224px.py'
_ONE_FRAME = {'train_dataloader.dataset.steps.SampleVideoFrames.num_frames': 1}
_SEVERAL_PAIRS = {'train_dataloader.dataset.samples_per_video': 10}
_NO_LABELS = {'model.head.cls_weight': 0.0}

# Name → config, and the switches that turn it into the method.
BUILT_IN: dict[str, tuple[str, dict[str, Any]]] = {
    'supervised': ('baselines/supervised_resnet18_1xb64-300e_us4-224px.py', {}),
    'te': ('baselines/temporal-ensembling_resnet18_1xb64-300e_us4-224px.py', {}),
    'pi': ('baselines/pi-model_resnet18_1xb32-300e_us4-224px.py', {}),
    'fixmatch': ('baselines/fixmatch_resnet18_1xb32-300e_us4-224px.py', {}),
    'mocov2': ('baselines/mocov2_resnet18_1xb32-30e_us4-224px.py', {}),
    'simclr': ('baselines/simclr_resnet18_1xb32-30e_us4-224px.py', {}),
    'byol': ('baselines/byol_resnet18_1xb32-300e_us4-224px.py', {}),
    'simsiam': ('baselines/simsiam_resnet18_1xb32-300e_us4-224px.py', {}),
    'barlowtwins': ('baselines/barlowtwins_resnet18_1xb32-300e_us4-224px.py', {}),
    'mocov3': ('baselines/mocov3_resnet18_1xb32-300e_us4-224px.py', {}),
    'ivpp': ('baselines/ivpp_resnet18_1xb32-300e_us4-224px.py', {}),
    'uscl': (_USCL, {}),
    'ucl': ('baselines/ucl_resnet18_1xb12-120e_us4-224px.py', {}),
    'hico': ('baselines/hico_resnet18_1xb32-300e_us4-224px.py', {}),
    'meta-uscl': ('baselines/meta-uscl_resnet18_1xb16-150e_us4-224px.py', {}),
    # The ablation in the paper (Tab. 2), from contrastive learning on frames to USCL:
    'vanilla': (_USCL, _SEVERAL_PAIRS | _ONE_FRAME | _NO_LABELS),  # the same as simclr
    'one-pair': (_USCL, _ONE_FRAME | _NO_LABELS),  # one pair per video, so negatives come from other videos
    'mixed-pair': (_USCL, _SEVERAL_PAIRS | _NO_LABELS),  # the pair is mixed from three frames
    'spg': (_USCL, _NO_LABELS),  # both; with the cross-entropy it is uscl
}
GIVEN = ('random', 'imagenet')


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        name: Name of the row.
        config: Pretraining config; None for given weights.
        options: Changes to that config, with dotted keys.
        init: Weights to start from; None for random ones.
        weights: ``random``, or the path of given weights; None for a config.
    """

    name: str
    config: Path | None = None
    options: dict[str, Any] = field(default_factory=dict)
    init: str | None = None
    weights: str | None = None


def parse_method(text: str, imagenet_weights: str | None = None) -> Method:
    """Parse ``METHOD``, ``NAME=METHOD:KEY=VALUE,KEY=VALUE``, ``NAME=CONFIG.py`` or ``NAME=WEIGHTS.pth``.

    Args:
        text: METHOD is one of :data:`BUILT_IN`, ``random`` or ``imagenet``; keys are those of ``--cfg-options``, or
            ``init`` for the weights to start from.
        imagenet_weights: Path of the weights for ``imagenet``.

    Returns:
        The method.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: The text has none of these forms.

    >>> parse_method('two=uscl:train_dataloader.dataset.steps.SampleVideoFrames.num_frames=2').options
    {'train_dataloader.dataset.steps.SampleVideoFrames.num_frames': 2}
    """
    head, _, changes = text.partition(':')
    name, equals, source = head.rpartition('=')
    name = name if equals else Path(source).stem if _is_file_name(source) else source
    if not re.fullmatch(r'[\w.+-]*\w[\w.+-]*', name):
        raise ValueError(f'{text}: the name {name!r} should consist of letters, digits and .+-_ (it names a folder).')
    options = _parse_options(changes, text)
    if source in GIVEN or _is_file_name(source, ('.pth', '.pt', '.safetensors')):
        if options:
            raise ValueError(f'{text}: given weights take no options.')
        if source == 'imagenet' and imagenet_weights is None:
            raise ValueError("imagenet needs --imagenet-weights PATH, such as torchvision's resnet18 file.")
        weights = imagenet_weights if source == 'imagenet' else source
        if weights != 'random' and not Path(str(weights)).expanduser().is_file():
            raise FileNotFoundError(f'{weights} does not exist: pass the file of the weights.')
        return Method(name, weights=weights)
    if _is_file_name(source, ('.py',)):
        path, switches = Path(source).expanduser(), {}
    elif source in BUILT_IN:
        path, switches = CONFIGS / BUILT_IN[source][0], BUILT_IN[source][1]
    else:
        known = ', '.join([*GIVEN, *BUILT_IN])
        raise ValueError(f'{text} is not a method: use one of {known}, NAME=CONFIG.py or NAME=WEIGHTS.pth.')
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist: pass a pretraining config.')
    init = options.pop('init', None)
    if init is not None and not Path(str(init)).expanduser().is_file():
        raise FileNotFoundError(f'{init} does not exist: pass the file of the weights to start from.')
    return Method(name, config=path, options=switches | options, init=init)


def parse_methods(texts: list[str], imagenet_weights: str | None = None) -> list[Method]:
    """Parse several methods.

    Raises:
        ValueError: Two have the same name; see also :func:`parse_method`.
    """
    methods = [parse_method(text, imagenet_weights) for text in texts]
    names = [method.name for method in methods]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f'two methods are named {twice}: write NAME={twice} with another name.')
    return methods


def _is_file_name(text: str, suffixes: tuple[str, ...] = ('.py', '.pth', '.pt', '.safetensors')) -> bool:
    return text.endswith(suffixes)


def _parse_options(changes: str, text: str) -> dict[str, Any]:
    options = {}
    for change in filter(None, re.split(r',(?![^\[(]*[\])])', changes)):  # commas in brackets belong to a value
        key, equals, value = change.partition('=')
        if not equals:
            raise ValueError(f'{text}: {change} should be KEY=VALUE.')
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key] = value
    return options
