"""How many frames DICOM files hold."""

import io
import re

import numpy as np
import pytest

pytest.importorskip('pydicom')
from dicom_files import write_dicom
from PIL import Image
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import JPEG2000Lossless

from uscl.clips.dicom_reader import DicomReader
from uscl.core.errors import ClipError

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 40, 48), np.uint8)


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
    with pytest.raises(ClipError, match=re.escape(f'the header says {declared or 1} frame')) as caught:
        list(DicomReader(path))
    assert caught.value.path == path and 'the file holds 3' in caught.value.reason
    assert len(list(DicomReader(write_compressed(tmp_path / 'a.dcm', kind, table=table)))) == 3


@pytest.mark.parametrize('declared', [1, 2, 5])
def test_uncompressed_files_say_the_same(tmp_path, declared):
    path = write_dicom(tmp_path / 'a.dcm', FRAMES, NumberOfFrames=declared)
    with pytest.raises(ClipError, match=re.escape(f'the header says {declared} frame')) as caught:
        list(DicomReader(path))
    assert 'the file holds 3' in caught.value.reason


@pytest.mark.parametrize('kind', ['jpeg', 'jpeg 2000'])
@pytest.mark.parametrize('table', ['basic', None])
def test_a_frame_may_have_several_fragments(tmp_path, kind, table):
    whole = list(DicomReader(write_compressed(tmp_path / 'a.dcm', kind)))
    path = write_compressed(tmp_path / 'b.dcm', kind, fragments=3, table=table)
    np.testing.assert_array_equal(list(DicomReader(path)), whole)
    one = write_compressed(tmp_path / 'c.dcm', kind, FRAMES[:1], 3, table, NumberOfFrames=None)
    np.testing.assert_array_equal(list(DicomReader(one)), whole[:1])
    with pytest.raises(ClipError, match='the file holds 3'):
        list(DicomReader(write_compressed(tmp_path / 'd.dcm', kind, fragments=3, table=table, NumberOfFrames=1)))


@pytest.mark.parametrize('declared', [0, -3])
def test_counts_that_cannot_be(tmp_path, declared):
    for syntax in ('rle', 'explicit'):
        path = write_dicom(tmp_path / 'a.dcm', FRAMES, syntax=syntax, NumberOfFrames=declared)
        with pytest.raises(ClipError, match=re.escape(path.name)):
            list(DicomReader(path))
