"""Provenance of a checkpoint, ``meta['uscl']``: its backbone, its input, and its training data."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from uscl.core.digest import digest
from uscl.version import __version__
from uscl_plugin.datasets.pipeline_settings import input_size

from .input_metadata import model_input
from .plain_types import to_plain

VERSION = 1


def describe_run(cfg: Config, dataset: Any) -> dict[str, Any]:
    """Provenance stored in the checkpoints of a run, as plain values.

    .. code-block:: none

        {"version": 1, "package": "0.1.0",
         "backbone": {"type": "ResNet", "depth": 18, …},          # its config, without init_cfg
         "input": {"size": 224, "mean": […], "std": […], "channels": "rgb"},   # for values of 0..255
         "settings": {"fps": 3.0, "size": 256, …},                 # of the conversion
         "data_digest": "9f86…",                                   # of the data folder
         "seen": {"sha256s": […], "signatures": null, "patients": null}}       # of the training videos

    Unknown values are null: folders not written by a converter have no settings, digest and sources.

    Args:
        cfg: Config of the run.
        dataset: Training dataset; wrappers such as ``ConcatDataset`` are unwrapped.
    """
    model = cfg.get('model') or {}
    backbone = model.get('backbone') if isinstance(model, Mapping) else None
    if isinstance(backbone, Mapping):
        backbone = {key: value for key, value in backbone.items() if key != 'init_cfg'}
    known = model_input(cfg)
    found = [part.provenance() for part in _parts(dataset) if hasattr(part, 'provenance')]
    settings = [part['settings'] for part in found]
    digests = sorted({part['data_digest'] for part in found})
    sources = [part['sha256s'] for part in found if part['sha256s'] is not None]
    facts = {
        'version': VERSION,
        'package': __version__,
        'backbone': backbone,
        'input': {
            'size': _size(cfg),
            'mean': known.get('mean'),
            'std': known.get('std'),
            'channels': known.get('channel_order'),
        },
        'settings': settings[0] if settings and all(each == settings[0] for each in settings) else None,
        'data_digest': digests[0] if len(digests) == 1 else digest(*digests) if digests else None,
        'seen': {
            'sha256s': sorted(set().union(*sources)) if sources else None,
            'signatures': None,
            'patients': None,
        },
    }
    return to_plain(facts, unknown=lambda where, value: None)


def kept_provenance(meta: Mapping[str, Any]) -> dict[str, Any]:
    """``{'uscl': …}`` from a checkpoint's ``meta`` (JSON in safetensors); empty if there is none."""
    stored = meta.get('uscl')
    if isinstance(stored, str):
        with contextlib.suppress(ValueError):
            stored = json.loads(stored)
    return {'uscl': dict(stored)} if isinstance(stored, Mapping) else {}


def _parts(dataset: Any) -> Iterator[Any]:
    """The datasets in a wrapper, or the dataset itself."""
    inner = getattr(dataset, 'datasets', None) or ([dataset.dataset] if hasattr(dataset, 'dataset') else None)
    if inner is None:
        yield dataset
    else:
        for part in inner:
            yield from _parts(part)


def _size(cfg: Config) -> int | None:
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    while isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    try:
        return input_size(dataset)
    except (KeyError, ValueError):
        return None
