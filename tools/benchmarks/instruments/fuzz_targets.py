"""The fuzzed readers, each with its documented errors and small valid files to damage."""

import importlib.util
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from uscl.clips import open_clip
from uscl.clips.discovery import find_sources
from uscl.clips.source_index import read_index
from uscl.convert.lesions.class_lists import read_class_lists
from uscl.convert.lesions.masks import read_colour_mask, read_mask
from uscl.convert.pocus.pocus_clone import read_table
from uscl.convert.pocus.pocus_folds import read_fold
from uscl.core.errors import ClipError, SourceError
from uscl.data.annotations import read_annotations
from uscl.data.folds import Folds, check_folds, read_folds, write_folds
from uscl.data.frame_store import damaged_videos
from uscl.data.frame_store import read_index as read_store_index
from uscl.data.store_writer import StoreWriter
from uscl_plugin.datasets.video_clusters import VideoClusterDataset
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

from .damaged_files import damaged_bytes, damaged_csv, damaged_json, damaged_png, damaged_safetensors, damaged_zip
from .fuzz_seeds import SIZE, clip, dataset, dicom, encode, picture, planted, unfinished_store
from .fuzzing import Reader

# Suffix of a reader's inputs: (suffix, codec, pixel format) of its seed files.
CLIPS = {
    '.mp4': (('.mp4', 'libx264', 'yuv420p'), ('.mov', 'mpeg4', 'yuv420p'), ('.mov', 'mjpeg', 'yuvj420p')),
    '.avi': (('.avi', 'mpeg4', 'yuv420p'), ('.avi', 'mjpeg', 'yuvj420p'), ('.avi', 'rawvideo', 'yuv420p')),
    '.gif': (('.gif', 'gif', 'rgb8'),),
    '.mkv': (('.mkv', 'ffv1', 'yuv420p'), ('.webm', 'libvpx', 'yuv420p'), ('.mkv', 'mpeg4', 'yuv420p')),
    '.mpeg': (('.mpeg', 'mpeg2video', 'yuv420p'), ('.mpg', 'mpeg1video', 'yuv420p')),
}
PICTURES = {'.png': ('1', 'L', 'P', 'RGB', 'RGBA', 'I;16'), '.jpg': ('L', 'RGB'), '.bmp': ('L', 'P', 'RGB')}
PICTURES['.tif'] = ('1', 'L', 'RGB', 'I;16', 'F')
_LARGEST_CLIP = 200_000  # bytes; only demo clips that are read quickly


def make_readers(folder: Path, demo_clips: Sequence[Path] = ()) -> list[Reader]:
    """All readers with their seed files.

    Args:
        folder: Folder for temporary files that become seeds.
        demo_clips: Real clips; small ones also become seeds.
    """
    readers = [_clip_reader(suffix, folder, demo_clips) for suffix in CLIPS]
    readers += [_folder_reader(suffix) for suffix in PICTURES]
    if importlib.util.find_spec('pydicom'):
        readers.append(_dicom_reader())
    readers += [_masks(), *_tables(), _pickles(), *_checkpoints(folder), *_dataset_files(folder)]
    return readers


def _consume(frames: Any) -> None:
    for _ in frames:
        pass


def _clip_reader(suffix: str, folder: Path, demo_clips: Sequence[Path]) -> Reader:
    seeds = [clip(folder / f'clip{number}{kind}', *coding) for number, (kind, *coding) in enumerate(CLIPS[suffix])]
    seeds *= 3
    seeds += [path.read_bytes() for path in demo_clips if path.suffix == suffix and path.stat().st_size < _LARGEST_CLIP]

    def read(path: Path) -> None:
        _consume(open_clip(path))

    return Reader(suffix[1:], f'clip{suffix}', seeds, damaged_bytes, read, (ClipError,))


def _folder_reader(suffix: str) -> Reader:
    seeds = [picture(mode, suffix) for mode in PICTURES[suffix]]

    def read(path: Path) -> None:
        _consume(open_clip(path.parent))

    damaged = damaged_png if suffix == '.png' else damaged_bytes
    return Reader(f'folder {suffix[1:]}', f'frame{suffix}', seeds, damaged, read, (ClipError,))


def _dicom_reader() -> Reader:
    seeds = [dicom(*choice) for choice in ((False, False), (True, False), (False, True))]
    return Reader('dicom', 'scan.dcm', seeds, damaged_bytes, lambda path: _consume(open_clip(path)), (ClipError,))


def _masks() -> Reader:
    def read(path: Path) -> None:
        read_mask(path, 16)
        read_colour_mask(path, 16)

    mask = np.zeros((SIZE, SIZE, 3), np.uint8)
    mask[4:12, 4:20, 0] = mask[16:28, 8:24, 1] = 255  # red is malignant, green benign
    seeds = [encode(Image.fromarray(mask).convert(mode), '.png') for mode in ('RGB', 'RGBA', 'P')]
    return Reader('mask png', 'mask.png', seeds, damaged_png, read, (ValueError,))


def _tables() -> list[Reader]:
    def check_index(path: Path) -> None:
        for row in read_index(path, path.parent)[0]:
            _expect_inside(path.parent, row['path'])
        find_sources(path.parent)

    index = b'path,label,patient_id,split\na/1.mp4,covid,p1,train\na/2.mp4,regular,p2,val\nb,,,\n'
    table = b'Filename,Label,Patient ID / Name,Probe,InThisRepo,Current location,Type\n'
    table += b'Cov-a.mp4,COVID,1,convex,yes,data/pocus_videos/convex,video\nReg-b,Regular,,linear,no,,image\n'
    lists = [b'Image;Type\n000001.png;Benign\n2;Malignant\n', b'image,class\n1,b\n2,m\n3,B\n']
    return [
        Reader('index.csv', 'index.csv', [index], damaged_csv, check_index, (SourceError,)),
        Reader('pocus table', 'metadata.csv', [table], damaged_csv, read_table, (SourceError,)),
        Reader(
            'class list', 'list.csv', lists, damaged_csv, lambda path: read_class_lists(path.parent), (SourceError,)
        ),
    ]


def _pickles() -> Reader:
    rng = np.random.default_rng(0)
    fold = [rng.integers(0, 256, (3, 1, 4, 4), np.uint8), np.arange(3), rng.random((2, 3, 4, 4)) * 255, np.arange(2.0)]
    seeds = [pickle.dumps(fold, protocol) for protocol in range(6)] * 4
    seeds += [pickle.dumps([*fold, code], protocol) for code in planted() for protocol in (0, 2, 4)]
    return Reader('array pickle', 'covid_data1.pkl', seeds, damaged_bytes, read_fold, (SourceError,))


def _checkpoints(folder: Path) -> list[Reader]:
    state = {'backbone.conv1.weight': torch.ones(4, 3, 3, 3), 'backbone.bn1.bias': torch.zeros(4, dtype=torch.half)}
    content: dict[str, Any] = {'state_dict': state, 'meta': {'epoch': 3, 'classes': ['a', 'b']}}
    path, seeds = folder / 'seed.pth', []
    for saved in (content, content, *({**content, 'code': code} for code in planted()[:2])):
        for is_zip in (True, False):
            torch.save(saved, path, _use_new_zipfile_serialization=is_zip)
            seeds.append(path.read_bytes())
    errors = (CheckpointError, FileNotFoundError)
    return [
        Reader('pth', 'model.pth', seeds, damaged_zip, load_plain_checkpoint, errors),
        Reader(
            'safetensors',
            'model.safetensors',
            [save(state, {'method': 'USCL', 'mean': '[1.0]'}), save(state)],
            damaged_safetensors,
            load_plain_checkpoint,
            errors,
        ),
    ]


def _dataset_files(folder: Path) -> list[Reader]:
    """Files written by the converters: annotation, folds, frame store."""
    entries, around = dataset(folder / 'data')
    annotations = around.pop('annotations.json')
    folds = [{'train': ['a'], 'val': [], 'test': ['b']}, {'train': ['b'], 'val': [], 'test': ['a']}]
    write_folds(folder / 'folds.json', Folds(folds, warnings=['a remark']))
    shard = next(name for name in around if name.endswith('.safetensors'))
    store_index = around['store/index.json']
    unfinished = unfinished_store(folder / 'unfinished')
    journal = next(name for name in unfinished if name.endswith('.jsonl'))

    def check_annotations(path: Path) -> None:
        read_annotations(path)
        VideoClusterDataset(data_root=str(path.parent), pipeline=[], lazy_init=False)

    def check_store(path: Path) -> None:
        root = path.parents[1]
        index = read_store_index(root)
        is_shard = path.suffix == '.safetensors'
        changed = {
            name
            for name, video in index.videos.items()
            if is_shard
            and path.read_bytes()[video.offset :][: video.num_bytes] != around[shard][video.offset :][: video.num_bytes]
        }
        found = set(damaged_videos(root))
        if is_shard and found != changed:
            raise AssertionError(f'the checksums report {sorted(found)}, but {sorted(changed)} were changed')

    def check_journal(path: Path) -> None:
        with StoreWriter(path.parents[1], ()) as store:
            store.commit()
        if damaged := damaged_videos(path.parents[1]):
            raise AssertionError(f'recovered although damaged: {damaged}')

    def read_and_check_folds(path: Path) -> None:
        found = read_folds(path)
        try:
            check_folds(found, [{**entry, 'label': 'covid'} for entry in entries])
        except ValueError as error:  # about folds and data; the caller knows the files
            raise ValueError(f'{path}: {error}') from error

    documented = (ValueError, FileNotFoundError)
    with_index = {**around, 'annotations.json': annotations}
    return [
        Reader('annotations', 'annotations.json', [annotations], damaged_json, check_annotations, documented, around),
        Reader(
            'folds',
            'folds.json',
            [(folder / 'folds.json').read_bytes()],
            damaged_json,
            read_and_check_folds,
            documented,
        ),
        Reader('store index', 'store/index.json', [store_index], damaged_json, check_store, documented, with_index),
        Reader('store shard', shard, [around[shard]], damaged_bytes, check_store, documented, with_index),
        Reader('store journal', journal, [unfinished[journal]], damaged_bytes, check_journal, documented, unfinished),
    ]


def _expect_inside(root: Path, name: str) -> None:
    if not (root / name).resolve().is_relative_to(root.resolve()):
        raise AssertionError(f'{name!r} leads outside the folder')
