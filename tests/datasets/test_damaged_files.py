"""What fuzzing has found (tools/benchmarks/fuzz_readers.py): every reader raises what it documents, naming the file."""

import io
import json
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from uscl.clips import clip_reader
from uscl.clips.clip_reader import ClipReader
from uscl.clips.discovery import find_sources
from uscl.clips.frame_folder import FrameFolder
from uscl.clips.frame_limits import LARGEST_FRAME
from uscl.clips.source_index import read_index
from uscl.convert.lesions.class_lists import read_class_lists
from uscl.convert.lesions.masks import read_mask
from uscl.core.errors import ClipError, SourceError
from uscl.core.natural_order import natural_key
from uscl.data.annotations import read_annotations
from uscl.data.folds import read_folds
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

NULLABLE = ('patient_id', 'label', 'split', 'source', 'sha256', 'signature', 'fps', 'times', 'assumed', 'turned')
ENTRY = {'video_id': 'v', 'num_frames': 1, **dict.fromkeys([*NULLABLE, 'rescaled'])}
METAINFO = {'dataset_type': 'VideoClusters', 'format_version': 2, 'classes': ['a']}
FOLD = {'train': ['a'], 'val': [], 'test': ['b']}
NESTED = '[' * 100_000 + ']' * 100_000


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize('read', [read_annotations, read_folds])
def test_nested_brackets(tmp_path, read):
    with pytest.raises(ValueError, match=r'x\.json is not .*recursion'):
        read(write(tmp_path / 'x.json', NESTED))


@pytest.mark.parametrize(
    'change', [{'source': '\ud800.png'}, {'num_frames': 1e3}, {'video_id': '\ud800'}, {'patient_id': 'p\udfff'}]
)
def test_annotation_with_what_cannot_be(tmp_path, change):
    path = write(tmp_path / 'x.json', {'metainfo': METAINFO, 'data_list': [ENTRY | change]})
    with pytest.raises(ValueError, match=r'x\.json: data_list\[0\]'):
        read_annotations(path)


def test_nullable_keys_may_be_missing(tmp_path):
    entry = {'video_id': 'v', 'num_frames': 1}
    path = write(tmp_path / 'x.json', {'metainfo': METAINFO, 'data_list': [entry]})
    assert read_annotations(path)['data_list'] == [ENTRY]


@pytest.mark.parametrize(
    'change',
    [
        {'folds': 3},
        {'folds': ['train']},
        {'folds': [{'train': ['a'], 'test': ['b']}]},
        {'folds': [FOLD | {'train': 'abc'}]},
        {'folds': [FOLD | {'test': [['b']]}]},
        {'warnings': None},
        {'unit': 'patient'},
        {'group_by': 3},
        {'seed': 'x'},
    ],
)
def test_folds_of_other_types(tmp_path, change):
    content = {'kind': 'uscl_folds', 'folds': [FOLD]}
    assert read_folds(write(tmp_path / 'x.json', content)).folds == [FOLD]
    with pytest.raises(ValueError, match=r'x\.json'):
        read_folds(write(tmp_path / 'x.json', content | change))


def test_class_list_with_a_huge_cell(tmp_path):
    write(tmp_path / 'benign.csv', '1\n' + 'x' * 200_000)
    with pytest.raises(SourceError, match=r'benign\.csv'):
        read_class_lists(tmp_path)


def test_numbers_of_thousands_of_digits(tmp_path):
    digits = '0' + '9' * 5000
    write(tmp_path / 'benign.csv', f'{digits}\n000\n')
    assert read_class_lists(tmp_path) == {digits[1:]: 'benign', '0': 'benign'}
    assert sorted([digits, '10', '9', '0'], key=natural_key) == ['0', '9', '10', digits]


@pytest.mark.parametrize('path', ['x' * 256, 'é' * 128, 'a/' * 1500 + 'b', 'a\0b'])
def test_index_with_a_path_that_no_system_looks_up(tmp_path, path):
    write(tmp_path / 'index.csv', f'path,label,patient_id\n{path},,\n')
    with pytest.raises(SourceError, match=r'index\.csv'):
        read_index(tmp_path / 'index.csv', tmp_path)
    write(tmp_path / 'index.csv', f'path,label,patient_id\n{"x" * 255}/{"9" * 255},,\n')
    assert find_sources(tmp_path).sources[0].problem.startswith('missing')


def huge_gif(path, width, height):
    """A few hundred bytes that claim to be large, as does a valid GIF with a large screen and small pictures."""
    buffer = io.BytesIO()
    pictures = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (0, 90, 200)]
    pictures[0].save(buffer, 'GIF', save_all=True, append_images=pictures[1:])
    content = bytearray(buffer.getvalue())
    content[6:10] = struct.pack('<HH', width, height)
    path.write_bytes(content)
    return path


def test_clip_of_frames_that_would_fill_the_memory(tmp_path):
    with pytest.raises(ClipError, match=r'16000 x 16000'):
        list(ClipReader(huge_gif(tmp_path / 'x.gif', 16000, 16000)))


def test_clip_whose_frames_become_larger_later(tmp_path, monkeypatch):
    """The decoder has the limit, too: here the container's word is not checked."""
    monkeypatch.setattr(clip_reader, 'check_size', lambda width, height: None)
    with pytest.raises(ClipError, match=r'no frame could be decoded'):
        list(ClipReader(huge_gif(tmp_path / 'x.gif', LARGEST_FRAME // 4096, 4096 + 256)))


def png(width, height):
    """A PNG file that claims a size, and holds no pixels."""
    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    chunks = ((b'IHDR', header), (b'IDAT', b''))
    parts = [
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


def fail_for_memory(*_, **__):
    raise MemoryError


@pytest.mark.parametrize('read', [lambda path: list(FrameFolder(path.parent)), lambda path: read_mask(path, 4)])
def test_picture_that_would_fill_the_memory(tmp_path, monkeypatch, read):
    path = tmp_path / 'x.png'
    path.write_bytes(png(LARGEST_FRAME // 64 + 1, 64))
    with pytest.raises((ClipError, ValueError), match=r'x\.png .*524289 x 64'):
        read(path)
    # Pillow asks for as many bytes as a chunk claims to have; whether that fails depends on the machine.
    monkeypatch.setattr(Image, 'open', fail_for_memory)
    with pytest.raises((ClipError, ValueError), match=r'x\.png .*MemoryError'):
        read(path)


def test_checkpoint_that_claims_gigabytes(tmp_path, monkeypatch):
    monkeypatch.setattr('uscl_plugin.weights.plain_checkpoints.torch', SimpleNamespace(load=fail_for_memory))
    with pytest.raises(CheckpointError, match=r'x\.pth .*memory'):
        load_plain_checkpoint(write(tmp_path / 'x.pth', 'x'))
