"""Colours of compressed files: what the code stream says of itself, against what the header says."""

import io
import re

import numpy as np
import pytest

pytest.importorskip('pydicom')
from dicom_files import write_dicom
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.uid import JPEG2000, JPEGBaseline8Bit

from uscl.clips.dicom_reader import DicomReader
from uscl.core.errors import ClipError

LABELS = ('RGB', 'YBR_FULL', 'YBR_FULL_422', 'YBR_ICT', 'YBR_RCT')
COLOURS = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (120, 120, 120)]], np.uint8)
RGB = COLOURS.repeat(16, axis=0).repeat(16, axis=1)  # blocks, which JPEG keeps but for their seams
YCBCR = np.asarray(Image.fromarray(RGB).convert('YCbCr'))
ADOBE = b'\xff\xee\0\x0eAdobe\0\x64\0\0\0\0'


def jpeg(pixels, ids=None, marker=None, **settings):
    """A JPEG without JFIF and Adobe markers, but for ``marker``, and with components of these ids."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'JPEG', quality=95, **settings)
    found, position, parts = buffer.getvalue(), 2, [b'\xff\xd8', marker or b'']
    while found[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(found[position + 2 : position + 4], 'big')
        segment = bytearray(found[position:end])
        if segment[1] == 0xC0 and ids:
            segment[10:19:3] = ids
        if segment[1] not in (0xE0, 0xEE):
            parts.append(segment)
        position = end
    scan = bytearray(found[position:])
    if ids:
        scan[5:11:2] = ids
    return b''.join([*parts, scan])


def jpeg_2000(pixels, mct, **settings):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'JPEG2000', mct=mct, **{'no_jp2': True} | settings)
    return buffer.getvalue()


JFIF = b'\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0'
# Streams that say what they are: of every label, the colours are right.
TELLING = {
    'JFIF, 4:4:4': jpeg(RGB, marker=JFIF, subsampling=0),
    'JFIF, 4:2:0': jpeg(RGB, marker=JFIF, subsampling=2),
    'JFIF and Adobe, YCbCr': jpeg(RGB, marker=JFIF + ADOBE + b'\1', subsampling=0),
    'Adobe, YCbCr': jpeg(RGB, marker=ADOBE + b'\1', subsampling=0),
    'Adobe, YCbCr, 4:2:2': jpeg(RGB, marker=ADOBE + b'\1', subsampling=1),
    'Adobe, RGB': jpeg(RGB, b'\1\2\3', ADOBE + b'\0', keep_rgb=True),
    'Adobe, RGB, ids R G B': jpeg(RGB, marker=ADOBE + b'\0', keep_rgb=True),
    'ids R G B': jpeg(RGB, b'RGB', keep_rgb=True),
    'ids r g b': jpeg(RGB, b'rgb', keep_rgb=True),
    'no marker, 4:2:0': jpeg(RGB, subsampling=2),
    'no marker, 4:2:2': jpeg(RGB, subsampling=1),
    'no marker, 4:2:0, ids 0 1 2': jpeg(RGB, b'\0\1\2', subsampling=2),
    'JPEG 2000, transform': jpeg_2000(RGB, 1),
    'JPEG 2000, irreversible transform': jpeg_2000(RGB, 1, irreversible=True),
    'JPEG 2000, transform, JP2': jpeg_2000(RGB, 1, no_jp2=False),
}
# Those that do not: the label counts.
SILENT = {
    ('no marker, 4:4:4', 'YBR'): jpeg(RGB, subsampling=0),
    ('no marker, 4:4:4, ids 0 1 2', 'YBR'): jpeg(RGB, b'\0\1\2', subsampling=0),
    ('no marker, RGB, ids 1 2 3', 'RGB'): jpeg(RGB, b'\1\2\3', keep_rgb=True),
    ('no marker, RGB, ids 0 1 2', 'RGB'): jpeg(RGB, b'\0\1\2', keep_rgb=True),
    ('JPEG 2000', 'RGB'): jpeg_2000(RGB, 0),
    ('JPEG 2000, JP2', 'RGB'): jpeg_2000(RGB, 0, no_jp2=False),
    ('JPEG 2000 of YCbCr', 'YBR'): jpeg_2000(YCBCR, 0),
}


def write(path, streams, label):
    is_2000 = b'\xff\x4f\xff\x51' in streams[0]

    def edit(dataset):
        dataset.PixelData = encapsulate(list(streams))
        dataset.file_meta.TransferSyntaxUID = JPEG2000 if is_2000 else JPEGBaseline8Bit

    return write_dicom(path, np.stack([RGB] * len(streams)), label, 'jpeg', edit=edit)


def assert_right(path, count=2):
    frames = list(DicomReader(path))
    assert len(frames) == count
    for frame in frames:
        centres = frame[8::16, 8::16].astype(int)
        assert frame.shape == RGB.shape and np.abs(centres - COLOURS).max() <= 4


@pytest.mark.parametrize('label', LABELS)
@pytest.mark.parametrize('kind', TELLING)
def test_a_stream_that_tells(tmp_path, kind, label):
    path = write(tmp_path / 'a.dcm', [TELLING[kind]] * 2, label)
    if '2000' not in kind and label in ('YBR_ICT', 'YBR_RCT'):
        with pytest.raises(ClipError, match=re.escape(path.name)):
            list(DicomReader(path))
    else:
        assert_right(path)


@pytest.mark.parametrize('label', LABELS)
@pytest.mark.parametrize(('kind', 'truth'), SILENT)
def test_a_stream_that_does_not_tell(tmp_path, kind, truth, label):
    path = write(tmp_path / 'a.dcm', [SILENT[kind, truth]] * 2, label)
    if label in ('YBR_ICT', 'YBR_RCT'):  # a transform that is not there
        with pytest.raises(ClipError, match=re.escape(path.name)):
            list(DicomReader(path))
    elif label.startswith(truth):
        assert_right(path)


def test_every_frame_is_decoded_as_it_says(tmp_path):
    streams = [TELLING[kind] for kind in ('JFIF, 4:2:0', 'ids R G B', 'Adobe, YCbCr')]
    assert_right(write(tmp_path / 'a.dcm', streams, 'YBR_FULL_422'), 3)


@pytest.mark.parametrize('marker', [JFIF, ADOBE + b'\1', JFIF + ADOBE + b'\0'])
def test_a_stream_that_contradicts_itself(tmp_path, marker):
    path = write(tmp_path / 'a.dcm', [jpeg(RGB, b'RGB', marker, keep_rgb=True)], 'RGB')
    with pytest.raises(ClipError, match='both RGB and YCbCr') as caught:
        list(DicomReader(path))
    assert caught.value.path == path
    assert_right(write(path, [jpeg(RGB, b'RGB', keep_rgb=True)], 'RGB'), 1)


@pytest.mark.parametrize('cut', [200, 400, -30])
@pytest.mark.parametrize('kind', ['JFIF, 4:2:0', 'Adobe, RGB', 'JPEG 2000, transform'])
def test_a_stream_that_is_cut(tmp_path, kind, cut):
    path = write(tmp_path / 'a.dcm', [TELLING[kind], TELLING[kind][:cut]], 'RGB')
    with pytest.raises(ClipError, match='1 of 2 frames could be decoded'):
        list(DicomReader(path))


@pytest.mark.parametrize('stored', [RGB[..., 0], RGB[:16]])
def test_a_stream_of_another_shape(tmp_path, stored):
    path = write(tmp_path / 'a.dcm', [jpeg(stored)], 'RGB')
    with pytest.raises(ClipError, match=re.escape(path.name)):
        list(DicomReader(path))


@pytest.mark.parametrize(
    'name',
    [
        'SC_rgb_dcmtk_+eb+cr.dcm', 'SC_rgb_dcmtk_+eb+cy+np.dcm', 'SC_rgb_dcmtk_+eb+cy+s4.dcm', 'SC_rgb_gdcm_KY.dcm',
        'SC_rgb_jpeg_lossy_gdcm.dcm', 'SC_jpeg_no_color_transform.dcm', 'SC_jpeg_no_color_transform_2.dcm',
        'examples_jpeg2k.dcm',
    ],
)  # fmt: skip
def test_files_of_other_encoders(name):
    """DCMTK, GDCM and Kakadu, as pydicom shows them, whose labels are right."""
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip('this version of pydicom does not bring the file')
    [frame] = DicomReader(path)
    assert np.abs(frame.astype(int) - pixel_array(path)).max() <= 2
