"""Provenance of a checkpoint, ``meta['uscl']``: its backbone, its input, and its training data."""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from uscl.checks.seen_data import UNKNOWN, Seen, seen_of, stored_seen
from uscl.convert.privacy.patient_key import read_patient_key
from uscl.convert.privacy.pseudonyms import Pseudonyms
from uscl.core.digest import digest
from uscl.core.errors import SourceError
from uscl.data.signatures import signature_levels
from uscl.version import __version__
from uscl_plugin.datasets.pipeline_settings import input_size

from .checkpoint_error import CheckpointError
from .checkpoint_files import stated_meta
from .input_metadata import model_input
from .plain_checkpoints import load_plain_checkpoint
from .plain_types import to_plain

VERSION = 1


def describe_run(cfg: Config, dataset: Any, loaded: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Provenance stored in the checkpoints of a run, as plain values.

    .. code-block:: none

        {"version": 1, "package": "0.2.0",
         "backbone": {"type": "ResNet", "depth": 18, …},          # its config, without init_cfg
         "input": {"size": 224, "mean": […], "std": […], "channels": "rgb"},   # for values of 0..255
         "settings": {"fps": 3.0, "size": 256, …},                 # of the conversion
         "data_digest": "9f86…",                                   # of the data folder
         "seen": {"sha256s": […], "signatures": […],              # of the training videos and their files
                  "patients": {"3c1a…": ["p-…", …]},              # hashed under the user's key, which has this id
                  "complete": true}}                              # every training video has a signature

    Unknown values are null: folders not written by a converter have no settings, digest and sources. What the weights
    that the run starts from have seen is included.

    Args:
        cfg: Config of the run.
        dataset: Training dataset; wrappers such as ``ConcatDataset`` are unwrapped.
        loaded: ``meta`` of checkpoints that the run has loaded, by ``load_from`` or to resume.
    """
    model = cfg.get('model') or {}
    backbone = model.get('backbone') if isinstance(model, Mapping) else None
    if isinstance(backbone, Mapping):
        backbone = {key: value for key, value in backbone.items() if key != 'init_cfg'}
    known = model_input(cfg)
    parts = list(_parts(dataset))
    found = [part.provenance() for part in parts if hasattr(part, 'provenance')]
    settings = [part['settings'] for part in found]
    digests = sorted({part['data_digest'] for part in found})
    key = _patient_key() if found else None
    seen = [seen_of(part['entries'], key) for part in found] + [UNKNOWN] * (len(parts) - len(found))
    seen += [stored_seen(kept_provenance(meta).get('uscl', {})) for meta in loaded]
    seen += [seen_by(path) if Path(path).is_file() else UNKNOWN for path in _initial_weights(cfg)]
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
        'seen': reduce(or_, seen, Seen()).as_plain(),
    }
    return to_plain(facts, unknown=lambda where, value: None)


def kept_provenance(meta: Mapping[str, Any]) -> dict[str, Any]:
    """``{'uscl': …}`` from a checkpoint's ``meta`` (JSON in safetensors); empty if there is none."""
    stored = meta.get('uscl')
    if isinstance(stored, str):
        with contextlib.suppress(ValueError):
            stored = json.loads(stored)
    return {'uscl': dict(stored)} if isinstance(stored, Mapping) else {}


def seen_by(path: str | Path) -> Seen:
    """What the network in a file was trained on.

    Raises:
        CheckpointError: The file cannot be read, or has a damaged signature.
    """
    seen = stored_seen(kept_provenance(stated_meta(path, load_plain_checkpoint(path))).get('uscl', {}))
    for signature in seen.signatures:
        try:
            signature_levels(signature)
        except ValueError as error:
            raise CheckpointError(f'{path}: {error}: export it again, or train it again.') from error
    return seen


def _initial_weights(cfg: Config) -> Iterator[str]:
    """Files, or addresses, of weights that a config starts from."""
    model = cfg.get('model') or {}
    for part in (model, *(value for value in model.values() if isinstance(value, Mapping))):
        yield from (str(part[key]) for key in ('pretrained', 'checkpoint_path') if part.get(key))  # MMPretrain, timm
        init = part.get('init_cfg') or ()
        for step in [init] if isinstance(init, Mapping) else init:
            if step.get('type') == 'Pretrained':
                yield str(step['checkpoint'])


def _patient_key() -> Pseudonyms | None:
    try:
        return read_patient_key(create=True)
    except (OSError, RuntimeError, SourceError) as error:
        what = f'patients are left out of the checkpoints, as there is no key to hash their ids ({error})'
        print_log(f'{what}: make the folder of settings writable, or set XDG_CONFIG_HOME.', 'current', logging.WARNING)
        return None


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
