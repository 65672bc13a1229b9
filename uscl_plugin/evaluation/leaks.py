"""Ways in which an evaluation would test on patients that the network has seen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uscl.core.config_literals import config_literals
from uscl.data.annotations import read_annotations
from uscl.data.folds import group_of
from uscl_plugin.weights.checkpoint_files import stated_meta
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.provenance import kept_provenance

from .backbones import split_spec
from .options import EvaluationOptions


def find_leak(options: EvaluationOptions, metainfo: Mapping[str, Any], data: Path) -> str:
    """Describe how patients would be on both sides.

    Args:
        options: Options of the evaluation.
        metainfo: The annotation's ``metainfo``.
        data: The data folder.

    Returns:
        A clause without capital letter or full stop; empty if no leak is known.

    Raises:
        ValueError: The data lack patients and videos, and other folds than theirs were requested.
    """
    if metainfo.get('grouping') == 'unknown':
        leak = 'it is unknown which frames share a video or patient, so they may be on both sides'
        if options.folds != 'official':
            raise ValueError(f'{data}: {leak}: use the folds that came with the data, --folds official.')
        return leak
    if options.folds == 'official':
        return 'the folds came with the data and may not keep patients together'
    if options.folds != 'split' and options.group_by == 'video':
        return 'videos of one patient are on both sides'
    found = [pretraining_leak(split_spec(spec)[1], data, options.folds) for spec in options.checkpoints]
    return '; '.join(filter(None, [*found, equal_clips_leak(data, options.folds)]))


def equal_clips_leak(data: Path, folds: str) -> str:
    """Which labelled clips have the same source file, according to the annotation, and may be on both sides.

    Altered copies are found by ``tools/analysis/check_dataset.py``.

    Args:
        data: The data folder.
        folds: Requested folds: ``'split'`` separates clips by that column, others by patient.
    """
    first: dict[str, tuple[str, str]] = {}
    for entry in read_annotations(data / 'annotations.json')['data_list']:
        part = entry['split'] if folds == 'split' else group_of(entry)
        digest = entry['sha256']
        if entry['label'] is None or part is None or digest is None:
            continue
        video, other = first.setdefault(digest, (entry['video_id'], part))
        if other != part:
            where = f'in {other} and in {part}' if folds == 'split' else f'of {other} and of {part}'
            return f'the clips {video!r} and {entry["video_id"]!r} are the same file, {where}, and may be on both sides'
    return ''


def pretraining_leak(checkpoint: str, data: Path, folds: str) -> str:
    """How a checkpoint has seen patients that it would be tested on, as far as its metadata show.

    A checkpoint trained on the same data folder has seen them, unless it was trained on a split other than the tested
    one. So has one whose provenance, which exports keep, lists a clip of a tested patient, whatever the folder.

    Args:
        checkpoint: Path of the checkpoint; anything that is not a file has seen nothing.
        data: The data folder.
        folds: Requested folds.
    """
    if not Path(checkpoint).is_file():
        return ''
    meta = stated_meta(checkpoint, load_plain_checkpoint(checkpoint))
    seen = set((kept_provenance(meta).get('uscl', {}).get('seen') or {}).get('sha256s') or [])
    entries = read_annotations(data / 'annotations.json')['data_list']
    known = {group_of(entry) for entry in entries if entry['sha256'] in seen}
    if known and (tested := known & {group_of(entry) for entry in _tested(entries, folds)}):
        number = f'{len(tested)} patient{"s" if len(tested) > 1 else ""}'
        return f'{checkpoint} was trained on clips of {number} that it would be tested on'
    loader = config_literals(str(meta.get('cfg', '')), ('train_dataloader',)).get('train_dataloader')
    dataset = loader.get('dataset') if isinstance(loader, dict) else None
    if not isinstance(dataset, dict) or not isinstance(dataset.get('data_root'), str):
        return ''
    if Path(dataset['data_root']).expanduser().resolve() != data.expanduser().resolve():
        return ''
    if folds == 'split' and dataset.get('split') == 'train' and dataset.get('fold') is None:
        return ''
    return f'{checkpoint} was trained on {dataset["data_root"]}, so it has seen patients that it would be tested on'


def _tested(entries: Sequence[Mapping[str, Any]], folds: str) -> list[Mapping[str, Any]]:
    labelled = [entry for entry in entries if entry['label'] is not None]
    if folds != 'split':
        return labelled
    side = 'test' if any(entry['split'] == 'test' for entry in labelled) else 'val'
    return [entry for entry in labelled if entry['split'] == side]
