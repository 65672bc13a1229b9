"""In what ways an evaluation would test on patients that the network has seen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uscl.core.config_literals import config_literals
from uscl.data.annotations import read_annotations
from uscl.data.folds import group_of
from uscl_plugin.weights.plain_checkpoints import checkpoint_meta, load_plain_checkpoint

from .backbones import split_spec
from .options import EvaluationOptions


def find_leak(options: EvaluationOptions, metainfo: Mapping[str, Any], data: Path) -> str:
    """Say how patients would be on both sides.

    Args:
        options: What was asked for.
        metainfo: Of the data's annotation.
        data: The data folder.

    Returns:
        A clause without capital and full stop; empty if nothing is known of a leak.

    Raises:
        ValueError: The data do not know their patients and videos, and folds of our own were asked for.
    """
    if metainfo.get('grouping') == 'unknown':
        leak = 'nobody knows which frames are of one video or patient, so they may be on both sides'
        if options.folds != 'official':
            raise ValueError(f'{data}: {leak}: take the folds that came with the data, --folds official.')
        return leak
    if options.folds == 'official':
        return 'the folds came with the data, and need not keep patients together'
    if options.folds != 'split' and options.group_by == 'video':
        return 'videos of one patient are on both sides'
    found = [pretraining_leak(split_spec(spec)[1], data, options.folds) for spec in options.checkpoints]
    return '; '.join(filter(None, [*found, equal_clips_leak(data, options.folds)]))


def equal_clips_leak(data: Path, folds: str) -> str:
    """Which labelled clips are one file, by what the converter stored of its source, and may be on both sides.

    Altered copies are found by ``tools/analysis/check_dataset.py``.

    Args:
        data: The data folder.
        folds: The folds that were asked for: ``'split'`` parts the clips by that column, others part patients.
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
    """How a checkpoint has seen the patients that it would be tested on, as far as its metadata say.

    A checkpoint of a run on the same data folder has, unless the split that it was trained on is not the one tested.
    Exported backbones do not say what they were trained on.

    Args:
        checkpoint: Its path; anything but a file has seen nothing.
        data: The data folder.
        folds: The folds that were asked for.
    """
    if not Path(checkpoint).is_file():
        return ''
    text = str(checkpoint_meta(load_plain_checkpoint(checkpoint)).get('cfg', ''))
    loader = config_literals(text, ('train_dataloader',)).get('train_dataloader')
    dataset = loader.get('dataset') if isinstance(loader, dict) else None
    if not isinstance(dataset, dict) or not isinstance(dataset.get('data_root'), str):
        return ''
    if Path(dataset['data_root']).expanduser().resolve() != data.expanduser().resolve():
        return ''
    if folds == 'split' and dataset.get('split') == 'train' and dataset.get('fold') is None:
        return ''
    return f'{checkpoint} was trained on {dataset["data_root"]}, so it has seen patients that it would be tested on'
