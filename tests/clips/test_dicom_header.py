"""Which files are DICOM, and how many frames they hold."""

import io
import os
import re

import numpy as np
import pytest

pytest.importorskip('pydicom')
from dicom_files import write_dicom
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import JPEG2000Lossless

from uscl.clips.dicom_header import is_dicom
from uscl.clips.dicom_reader import DicomReader
from uscl.core.errors import ClipError

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 40, 48), np.uint8)


def test_which_files_are_dicom(tmp_path):
    content = write_dicom(tmp_path / 'a.dcm', FRAMES).read_bytes()
    names = {'a.dcm': True, 'A.DICOM': True, 'IM_0001': True, '1.2.840.7': True, 'a.mp4': False, 'a.png': False}
    names |= {'x.ima': True, 'x.IMG': True, 'x.dc3': True, 'x.txt': True, 'DICOMDIR': False, '.dcm.dcm': False}
    for name, expected in names.items():
        (tmp_path / name).write_bytes(content)
        assert is_dicom(tmp_path / name) == expected, name
    (tmp_path / 'notes').write_text('text')
    (tmp_path / 'short').write_bytes(b'')
    assert not any(is_dicom(tmp_path / name) for name in ('notes', 'short', 'absent', '.'))


def bare(path, is_implicit, tmp_path):
    """The data set alone: no preamble and no header of the file."""
    dataset = dcmread(path)
    del dataset.file_meta
    dataset.save_as(tmp_path / 'bare', implicit_vr=is_implicit, little_endian=True, enforce_file_format=False)
    return (tmp_path / 'bare').read_bytes()


@pytest.mark.parametrize('kind', ['no preamble', 'explicit', 'implicit'])
@pytest.mark.parametrize('name', ['IM_0001', 'x.ima', 'x.dcm'])
def test_files_without_a_preamble(tmp_path, kind, name):
    path = write_dicom(tmp_path / 'a.dcm', FRAMES, FrameTime=40)
    content = path.read_bytes()[132:] if kind == 'no preamble' else bare(path, kind == 'implicit', tmp_path)
    (tmp_path / name).write_bytes(content)
    assert is_dicom(tmp_path / name)
    reader = DicomReader(tmp_path / name)
    np.testing.assert_array_equal(np.stack(list(reader))[..., 0], FRAMES)
    assert reader.facts == {'frames_decoded': 3, 'frame_rate': 25.0}


MAGIC = [
    b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR', b'\xff\xd8\xff\xe0\0\x10JFIF\0', b'GIF89a', b'BM', b'II*\0\x08\0\0\0',
    b'MM\0*\0\0\0\x08', b'\0\0\0\x20ftypisom', b'RIFF\x08\0\0\0AVI LIST', b'\x1a\x45\xdf\xa3', b'\0\0\x01\xba',
    b'\0\0\x01\xb3', b'0&\xb2u\x8ef\xcf\x11', b'PK\x03\x04', b'\x1f\x8b\x08\0', b'%PDF-1.7', b'7z\xbc\xaf',
    b'\x89HDF\r\n', b'\x93NUMPY\x01\0', b'\x5c\x01\0\0', b'\x7fELF', b'\0\0\x01\0\x01\0', b'id,label\n', b'{"a": 1}',
    b'', b'\0' * 64, b'\x08\0\0\0\x08\0\0\0\x08\0\0\0', b'\x02\0\0\0' * 4, b'\x02\0\0\0\x04\0\0\0\0\0\0\0\x08\0\0\0',
    b'\x08\0' * 32, b'\x08\0\x05\0CS', b'\x02\0\0\0UL\x04\0',
]  # fmt: skip


@pytest.mark.parametrize('rest', ['zeros', 'noise', 'nothing'])
def test_other_files_are_not_dicom(tmp_path, rest):
    noise = np.random.default_rng(1)
    path = tmp_path / 'IM_0001'
    for magic in MAGIC:
        path.write_bytes(magic + {'zeros': bytes(600), 'noise': noise.bytes(600), 'nothing': b''}[rest])
        assert not is_dicom(path), magic


def test_noise_is_not_dicom(tmp_path):
    """Even where it begins with the tag of a first element, and small numbers follow."""
    noise = np.random.default_rng(2)
    for number in range(160):
        start = [b'', b'\x08\0\x05\0', b'\x08\0\x16\0UI', b'\x02\0\0\0UL\x04\0'][number % 4]
        rest = noise.integers(0, 9 if number % 8 < 4 else 256, 300, np.uint8)
        (tmp_path / 'x.ima').write_bytes(start + rest.tobytes())
        assert not is_dicom(tmp_path / 'x.ima')


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='pipes have names on POSIX only')
def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / 'IM_0002')
    assert not is_dicom(tmp_path / 'IM_0002')


def jpeg_2000(frame):
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, 'JPEG2000', no_jp2=True)
    return buffer.getvalue()


def write_compressed(path, kind, stored=FRAMES, fragments=1, table='basic', **elements):
    """Frames in so many fragments each, with a basic or an extended offset table, or none."""

    def edit(dataset):
        streams = list(generate_frames(dataset.PixelData, number_of_frames=len(stored)))
        if kind == 'jpeg 2000':
            streams = [jpeg_2000(frame) for frame in stored]
            dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        if table == 'extended':
            dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(
                streams
            )
        else:
            dataset.PixelData = encapsulate(streams, fragments_per_frame=fragments, has_bot=table == 'basic')
        if elements.get('NumberOfFrames', 0) is None:
            del dataset.NumberOfFrames

    return write_dicom(path, stored, syntax='rle' if kind == 'rle' else 'jpeg', edit=edit, **elements)


@pytest.mark.parametrize('table', ['basic', 'extended', None])
@pytest.mark.parametrize('declared', [1, 2, None])
@pytest.mark.parametrize('kind', ['rle', 'jpeg', 'jpeg 2000'])
def test_more_frames_than_declared(tmp_path, kind, declared, table):
    path = write_compressed(tmp_path / 'a.dcm', kind, table=table, NumberOfFrames=declared)
    with pytest.raises(ClipError, match=re.escape(f'its header says {declared or 1} frame')) as caught:
        list(DicomReader(path))
    assert caught.value.path == path and 'it holds 3' in caught.value.reason
    assert len(list(DicomReader(write_compressed(tmp_path / 'a.dcm', kind, table=table)))) == 3


@pytest.mark.parametrize('declared', [1, 2, 5])
def test_uncompressed_files_say_the_same(tmp_path, declared):
    path = write_dicom(tmp_path / 'a.dcm', FRAMES, NumberOfFrames=declared)
    with pytest.raises(ClipError, match=re.escape(f'its header says {declared} frame')) as caught:
        list(DicomReader(path))
    assert 'it holds 3' in caught.value.reason


@pytest.mark.parametrize('kind', ['jpeg', 'jpeg 2000'])
@pytest.mark.parametrize('table', ['basic', None])
def test_a_frame_may_have_several_fragments(tmp_path, kind, table):
    whole = list(DicomReader(write_compressed(tmp_path / 'a.dcm', kind)))
    path = write_compressed(tmp_path / 'b.dcm', kind, fragments=3, table=table)
    np.testing.assert_array_equal(list(DicomReader(path)), whole)
    one = write_compressed(tmp_path / 'c.dcm', kind, FRAMES[:1], 3, table, NumberOfFrames=None)
    np.testing.assert_array_equal(list(DicomReader(one)), whole[:1])
    with pytest.raises(ClipError, match='it holds 3'):
        list(DicomReader(write_compressed(tmp_path / 'd.dcm', kind, fragments=3, table=table, NumberOfFrames=1)))


@pytest.mark.parametrize('declared', [0, -3])
def test_counts_that_cannot_be(tmp_path, declared):
    for syntax in ('rle', 'explicit'):
        path = write_dicom(tmp_path / 'a.dcm', FRAMES, syntax=syntax, NumberOfFrames=declared)
        with pytest.raises(ClipError, match=re.escape(path.name)):
            list(DicomReader(path))
