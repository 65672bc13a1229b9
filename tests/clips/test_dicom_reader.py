import logging
import re
import struct
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip('pydicom')
from dicom_files import PRIVATE, SECRETS, TRACES, write_dicom
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder

from uscl.clips.dicom_display import apply_window
from uscl.clips.dicom_reader import DicomReader
from uscl.core.errors import ClipError

SHAPE = (3, 20, 26)  # odd thirds, so that a swap of rows and columns or a lost byte shows


def values(dtype, shape=SHAPE, seed=0, top=None):
    info = np.iinfo(dtype)
    top = info.max if top is None else top
    array = np.random.default_rng(seed).integers(info.min, top, shape, endpoint=True)
    array.flat[:2] = info.min, top
    return array.astype(dtype)


def smooth(channels):
    """Pixels that JPEG keeps: slopes."""
    rows, columns = np.mgrid[:40, :48]
    planes = [60 + rows * 2 + columns, 200 - rows * 3, 40 + columns * 3]
    frame = np.stack(planes[:channels], axis=-1)
    return np.stack([frame, frame[::-1], frame // 2]).astype(np.uint8)[..., slice(None) if channels == 3 else 0]


def read(path, fps=1000):
    frames = list(reader := DicomReader(path, fps))
    assert all(frame.dtype == np.uint8 and frame.shape[2:] == (3,) for frame in frames)
    return np.stack(frames), reader.facts


def full_range(stored):
    """What a viewer shows of 16 bits without a window: from the least value of the video to its largest."""
    low, high = int(stored.min()), int(stored.max())
    return np.vectorize(lambda value: round(255 * (value - low) / (high - low)))(stored.astype(int))


def ybr_to_rgb(ybr):
    """ITU-R BT.601, full range: DICOM PS3.3 C.7.6.3.1.2."""
    y, blue, red = (ybr[..., i].astype(float) - (0, 128, 128)[i] for i in range(3))
    return np.stack([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue], axis=-1)


@pytest.mark.parametrize('syntax', ['explicit', 'implicit', 'big', 'rle'])
@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'int16'])
@pytest.mark.parametrize('photometric', ['MONOCHROME1', 'MONOCHROME2'])
def test_grey(tmp_path, photometric, dtype, syntax):
    stored = values(dtype)
    got, _ = read(write_dicom(tmp_path / 'a.dcm', stored, photometric, syntax))
    expected = stored.astype(int) if dtype == 'uint8' else full_range(stored)
    if photometric == 'MONOCHROME1':
        expected = 255 - expected
    assert (got == got[..., :1]).all()
    assert np.abs(got[..., 0].astype(int) - expected).max() <= (dtype != 'uint8')  # halves may round either way


@pytest.mark.parametrize('syntax', ['explicit', 'implicit', 'big', 'rle'])
@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
def test_rgb(tmp_path, dtype, syntax):
    stored = values(dtype, (*SHAPE, 3))
    got, _ = read(write_dicom(tmp_path / 'a.dcm', stored, 'RGB', syntax))
    np.testing.assert_array_equal(got, stored if dtype == 'uint8' else stored // 256)


@pytest.mark.parametrize('syntax', ['explicit', 'rle'])
def test_ybr_full(tmp_path, syntax):
    stored = values('uint8', (*SHAPE, 3))
    got, _ = read(write_dicom(tmp_path / 'a.dcm', stored, 'YBR_FULL', syntax))
    assert np.abs(got - np.clip(ybr_to_rgb(stored), 0, 255)).max() <= 1


def test_ybr_422_uncompressed(tmp_path):
    """Y Y B R for every two pixels."""
    full = values('uint8', (*SHAPE, 3))
    full[:, :, 1::2, 1:] = full[:, :, ::2, 1:]
    packed = np.stack([full[:, :, ::2, 0], full[:, :, 1::2, 0], full[:, :, ::2, 1], full[:, :, ::2, 2]], axis=-1)
    path = write_dicom(
        tmp_path / 'a.dcm', full, 'YBR_FULL_422', edit=lambda d: setattr(d, 'PixelData', packed.tobytes())
    )
    assert np.abs(read(path)[0] - np.clip(ybr_to_rgb(full), 0, 255)).max() <= 1


def test_planes(tmp_path):
    stored = values('uint8', (*SHAPE, 3))
    planar = np.moveaxis(stored, 3, 1).tobytes()
    path = write_dicom(
        tmp_path / 'a.dcm', stored, 'RGB', PlanarConfiguration=1, edit=lambda d: setattr(d, 'PixelData', planar)
    )
    np.testing.assert_array_equal(read(path)[0], stored)


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('syntax', ['explicit', 'rle'])
def test_palette(tmp_path, syntax, bits):
    stored = values('uint8')
    table = np.random.default_rng(5).integers(0, 1 << bits, (3, 256)).astype(f'uint{bits}')
    elements = {}
    for name, row in zip(('Red', 'Green', 'Blue'), table, strict=True):
        elements[f'{name}PaletteColorLookupTableDescriptor'] = [256, 0, bits]
        elements[f'{name}PaletteColorLookupTableData'] = row.tobytes()
    got, _ = read(write_dicom(tmp_path / 'a.dcm', stored, 'PALETTE COLOR', syntax, **elements))
    expected = np.stack([row[stored] >> (bits - 8) for row in table], axis=-1)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ('photometric', 'channels'), [('MONOCHROME2', 1), ('MONOCHROME1', 1), ('YBR_FULL', 3), ('YBR_FULL_422', 3)]
)
def test_jpeg_baseline(tmp_path, photometric, channels):
    stored = smooth(channels)
    got, _ = read(write_dicom(tmp_path / 'a.dcm', stored, photometric, 'jpeg'))
    expected = stored if channels == 3 else np.repeat(stored[..., None], 3, axis=-1)
    if photometric == 'MONOCHROME1':
        expected = 255 - expected
    assert np.abs(got.astype(int) - expected).mean() < 1.5
    assert np.abs(got.astype(int) - expected).max() < 16


@pytest.mark.parametrize('stored_bits', [6, 12])
def test_window(tmp_path, stored_bits):
    """DICOM PS3.3 C.11.2.1.2, pixel by pixel; bits above BitsStored are not part of the value."""
    stored = values('uint8' if stored_bits == 6 else 'uint16', top=(1 << stored_bits) - 1)
    center, width = 0.5 * (1 << stored_bits) - 3, 0.25 * (1 << stored_bits)
    junk = stored | (1 << stored_bits)
    elements = {'BitsStored': stored_bits, 'HighBit': stored_bits - 1, 'RescaleSlope': 2, 'RescaleIntercept': -5}
    path = write_dicom(tmp_path / 'a.dcm', junk, WindowCenter=[center, 1], WindowWidth=[width, 2], **elements)

    def shown(value):
        x = 2 * value - 5
        if x <= center - 0.5 - (width - 1) / 2:
            return 0
        if x > center - 0.5 + (width - 1) / 2:
            return 255
        return ((x - (center - 0.5)) / (width - 1) + 0.5) * 255

    expected = np.vectorize(shown, otypes=[float])(stored.astype(int))
    assert np.abs(read(path)[0][..., 0] - expected).max() <= 0.5001
    assert 0.1 < np.mean((expected > 0) & (expected < 255)) < 0.9


@pytest.mark.parametrize(
    ('function', 'expected'),
    [('SIGMOID', [0.1192, 0.5, 0.8808]), ('LINEAR_EXACT', [0, 0.5, 1]), ('LINEAR', [0, 0.5, 1])],
)
def test_window_functions(function, expected):
    inputs = np.array([40.0, 60.0, 80.0]) - (0.5 if function == 'LINEAR' else 0)
    np.testing.assert_allclose(apply_window(inputs, 60, 40, function), expected, atol=1e-4)


def test_few_bits_fill_the_range(tmp_path):
    stored = values('uint8', top=63)
    got, _ = read(write_dicom(tmp_path / 'a.dcm', stored, BitsStored=6, HighBit=5))
    assert np.abs(got[..., 0] - stored * (255 / 63)).max() <= 0.5001


def test_voi_table(tmp_path):
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 12], (np.arange(256)[::-1] * 16 + 15).astype('<u2').tolist()
    table['LUTDescriptor'].VR, table['LUTData'].VR = 'US', 'US'
    stored = values('uint8')
    got, _ = read(write_dicom(tmp_path / 'a.dcm', stored, VOILUTSequence=[table], WindowCenter=1, WindowWidth=1))
    assert np.abs(got[..., 0].astype(int) - (255 - stored.astype(int))).max() <= 1


@pytest.mark.parametrize(
    ('elements', 'rate', 'assumed'),
    [
        ({'FrameTime': '33.33'}, 1000 / 33.33, False),
        ({'FrameTime': '100', 'CineRate': 50}, 10, False),
        ({'CineRate': 20, 'RecommendedDisplayFrameRate': 30}, 20, False),
        ({'RecommendedDisplayFrameRate': 30}, 30, False),
        ({'FrameTime': '0'}, 25, True),
        ({}, 25, True),
    ],
)
def test_rates(tmp_path, elements, rate, assumed):
    """The first frame of every third of a second is kept."""
    stored = np.arange(90, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    got, facts = read(write_dicom(tmp_path / 'a.dcm', stored, **elements), fps=3)
    nominal = 30 if elements.get('FrameTime') == '33.33' else rate  # which is rounded
    expected, last = [], -1
    for i in range(90):
        if int(i / nominal * 3 + 1e-6) > last:
            last = int(i / nominal * 3 + 1e-6)
            expected.append(i)
    assert got[:, 0, 0, 0].tolist() == expected
    assert (facts['frames_decoded'], facts['frame_rate']) == (90, pytest.approx(rate))
    assert facts.get('assumed') == (['frame rate'] if assumed else None)


@pytest.mark.parametrize('pointer', [0x00181065, 0x00181063, None])
def test_frame_time_vector(tmp_path, pointer):
    """Increments in milliseconds, of which the first is not used; FrameIncrementPointer says whether they count."""
    stored = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    elements = {'FrameTimeVector': [7, 100, 100, 400, 10, 400], 'FrameTime': 1000}
    if pointer is not None:
        elements['FrameIncrementPointer'] = pointer
    got, facts = read(write_dicom(tmp_path / 'a.dcm', stored, **elements), fps=3)
    by_vector = [0, 3, 5]  # at 0, 600 and 1010 ms
    assert got[:, 0, 0, 0].tolist() == (by_vector if pointer == 0x00181065 else list(range(6)))
    assert facts['frame_rate'] == pytest.approx(5 / 1.01 if pointer == 0x00181065 else 1, abs=1e-5)


def test_a_single_frame_is_a_video_of_one(tmp_path):
    got, facts = read(
        write_dicom(tmp_path / 'a.dcm', values('uint8', (1, 8, 9)), edit=lambda d: d.pop('NumberOfFrames'))
    )
    assert got.shape == (1, 8, 9, 3) and facts['frames_decoded'] == 1


def test_one_frame_is_held_at_a_time(tmp_path):
    tracemalloc = pytest.importorskip('tracemalloc')
    path = write_dicom(tmp_path / 'a.dcm', np.zeros((120, 200, 200), np.uint16))
    for _ in DicomReader(path):
        pass
    tracemalloc.start()
    for _ in DicomReader(path):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 200 * 200 * 2  # a third of the file; in float64 and RGB a frame takes some 12 of its own size


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    return path


def broken(tmp_path, kind):
    path = tmp_path / 'a.dcm'
    frames = values('uint8', (4, 16, 16))
    if kind == 'empty':
        path.write_bytes(b'')
    elif kind == 'text':
        path.write_text('Quuxley ' * 100)
    elif kind in ('native', 'header', 'rle', 'jpeg'):
        write_dicom(path, frames, syntax=kind if kind in ('rle', 'jpeg') else 'explicit', secret=True)
        size = path.stat().st_size
        cut(path, 400 if kind == 'header' else size - (600 if kind == 'native' else size // 6))
    elif kind == 'no pixels':
        write_dicom(path, frames, secret=True, edit=lambda d: d.pop('PixelData'))
    elif kind == 'photometric':
        write_dicom(path, frames, PRIVATE, secret=True)
    elif kind == 'bits':
        write_dicom(path, values('uint32', (1, 4, 4)), secret=True, edit=lambda d: setattr(d['PixelData'], 'VR', 'OW'))
    elif kind == 'huge':
        write_dicom(path, frames, syntax='rle', secret=True, edit=lambda d: vars_of(d, Rows=60000, Columns=60000))
    else:
        syntax, elements = {
            'size': ('explicit', {'Rows': 17}),
            'jpeg size': ('jpeg', {'Rows': 17}),
            'frames': ('rle', {'NumberOfFrames': 9}),
            'no rows': ('rle', {'edit': lambda d: d.pop('Rows')}),
            'no decoder': ('explicit', {'edit': lambda d: set_syntax(d, '1.2.840.10008.1.2.4.80')}),
            'video': ('explicit', {'edit': lambda d: set_syntax(d, '1.2.840.10008.1.2.4.102')}),
            'unknown syntax': ('explicit', {'edit': lambda d: set_syntax(d, '1.2.826.0.1.3680043.8.498.777444')}),
            'palette': ('explicit', {'photometric': 'PALETTE COLOR'}),
        }[kind]
        write_dicom(path, frames, syntax=syntax, secret=True, **elements)
    return path


def vars_of(dataset, **elements):
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)


def set_syntax(dataset, uid):
    """Claim a compression that the pixels are not in."""
    from pydicom.encaps import encapsulate

    dataset.PixelData = encapsulate([dataset.PixelData])
    dataset['PixelData'].VR = 'OB'
    dataset['PixelData'].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = uid


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        ('empty', 'the file is empty (0 bytes): copy or export it again'),
        ('text', 'not a DICOM file'),
        ('native', 'truncated: it holds 1 of 4 frames; copy or export it again'),
        ('header', 'export it again'),
        ('rle', 'damaged or truncated: 2 of 4 frames could be decoded'),
        ('jpeg', 'damaged or truncated: 3 of 4 frames could be decoded'),
        ('no pixels', 'no pixel data'),
        ('photometric', 'its photometric interpretation is not one of MONOCHROME1'),
        ('bits', 'neither 8 nor 16 bits: store it uncompressed'),
        ('huge', 'wrong size: its header claims 3600000000 pixels per frame'),
        ('size', 'wrong size: 1024 bytes of pixels, its header says 1088'),
        ('jpeg size', 'export'),
        ('frames', 'damaged or truncated: 4 of 9 frames could be decoded'),
        ('no rows', 'export it again'),
        ('no decoder', 'no decoder for JPEG-LS Lossless Image Compression is installed: pip install pylibjpeg'),
        ('video', 'which is not supported: store it uncompressed'),
        ('unknown syntax', 'its pixels are in an unknown syntax'),
        ('palette', 'its grey scale or palette cannot be read'),
    ],
)
def test_broken_files_say_why_and_not_whose(tmp_path, kind, message, capfd, monkeypatch):
    path = broken(tmp_path, kind)
    if kind == 'no decoder':  # whatever this environment has
        monkeypatch.setattr(type(get_decoder('1.2.840.10008.1.2.4.80')), 'is_available', False)
    with pytest.raises(ClipError) as caught:
        list(DicomReader(path))
    assert caught.value.path == path and message in caught.value.reason
    assert '\n' not in caught.value.reason and caught.value.__cause__ is None
    said = str(caught.value) + ''.join(capfd.readouterr())
    assert not [trace for trace in TRACES if trace in said]


def test_every_cut_is_an_error_of_the_clip(tmp_path):
    """Whatever byte a copy stopped at: no crash, no silent half."""
    for syntax in ('explicit', 'rle'):
        path = write_dicom(tmp_path / f'{syntax}.dcm', values('uint8', (3, 8, 8)), syntax=syntax, secret=True)
        content = path.read_bytes()
        for keep in range(0, len(content) - 9, 13):  # the last item of compressed pixels only says that they end
            path.write_bytes(content[:keep])
            with pytest.raises(ClipError) as caught:
                list(DicomReader(path))
            assert not [trace for trace in TRACES if trace in str(caught.value)]


def test_values_that_are_not_valid_are_not_quoted(tmp_path, capfd, caplog):
    """pydicom warns, logs or raises with the value itself."""
    wrong = f'{PRIVATE} 12'  # 18 characters

    path = write_dicom(tmp_path / 'a.dcm', values('uint8'), secret=True, FrameTime='12.5')
    content = path.read_bytes()
    assert content.count(b'DS\x04\x0012.5') == 1
    path.write_bytes(content.replace(b'DS\x04\x0012.5', b'DS\x12\x00' + wrong.encode()))
    logging.getLogger('pydicom').setLevel(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG):
        warnings.simplefilter('always')
        frames, facts = read(path)
    logging.getLogger('pydicom').setLevel(logging.NOTSET)
    assert len(frames) == 3 and facts['assumed'] == ['frame rate']
    said = ''.join(capfd.readouterr()) + caplog.text + ''.join(str(warning.message) for warning in caught)
    assert said == ''

    number = struct.pack('<HH2sH', 0x28, 8, b'IS', 2) + b'3 '
    assert content.count(number) == 1
    path.write_bytes(content.replace(number, number[:6] + struct.pack('<H', 18) + wrong.encode()))
    with pytest.raises(ClipError) as error:
        list(DicomReader(path))
    assert PRIVATE not in str(error.value)


def test_without_pydicom(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / 'a.dcm', values('uint8'))
    monkeypatch.setitem(sys.modules, 'pydicom', None)
    with pytest.raises(ClipError, match=re.escape("pip install 'uscl_plugin[dicom]'")):
        list(DicomReader(path))


@pytest.mark.parametrize('pixel', [(9, 8), (1, 2), (3, 1)])
def test_square_pixels(tmp_path, pixel):
    """PixelAspectRatio is height, width of a pixel; the axis with too few pixels is enlarged, as in videos."""
    stored = np.zeros((2, 10, 72), np.uint8)
    stored[:, :, 36:] = 200
    got, facts = read(write_dicom(tmp_path / 'a.dcm', stored, PixelAspectRatio=[str(part) for part in pixel]))
    height, width = max(10, 10 * pixel[0] // pixel[1]), max(72, 72 * pixel[1] // pixel[0])
    assert got.shape == (2, height, width, 3) and facts['rescaled'] == [f'pixel aspect {pixel[1]}:{pixel[0]}']
    assert (got[:, :, : width // 2 - 2] == 0).all() and (got[:, :, width // 2 + 2 :] == 200).all()


@pytest.mark.parametrize('pixel', [['1', '1'], ['7', '7'], ['0', '1'], ['-1', '1'], ['4']])
def test_pixels_that_need_no_rescaling(tmp_path, pixel):
    got, facts = read(write_dicom(tmp_path / 'a.dcm', values('uint8'), PixelAspectRatio=pixel))
    np.testing.assert_array_equal(got[..., 0], values('uint8'))
    assert 'rescaled' not in facts


@pytest.mark.parametrize('pixel', [['1', '30000'], ['30000', '1']])
def test_pixels_of_no_scanner(tmp_path, pixel):
    path = write_dicom(tmp_path / 'a.dcm', values('uint8'), PixelAspectRatio=pixel)
    with pytest.raises(ClipError, match=re.escape(path.name)):
        read(path)


def test_grey_levels_that_fill_the_range_are_said(tmp_path):
    stored = values('uint16', top=4095)
    _, facts = read(write_dicom(tmp_path / 'a.dcm', stored, BitsStored=12, HighBit=11))
    assert facts['rescaled'] == ['grey levels 0 to 4095']
    _, facts = read(write_dicom(tmp_path / 'a.dcm', stored, WindowCenter=2048, WindowWidth=4096))
    assert 'rescaled' not in facts


@pytest.mark.parametrize(
    ('slope', 'intercept', 'said'),
    [
        ('0', '0', ['RescaleSlope 1']),
        ('NaN', '0', ['RescaleSlope 1']),
        ('', '0', ['RescaleSlope 1']),
        ('1', '', ['RescaleIntercept 0']),
        ('1', '0', []),
    ],
)
def test_rescaling_that_cannot_be(tmp_path, slope, intercept, said):
    elements = {'RescaleSlope': slope, 'RescaleIntercept': intercept, 'FrameTime': 40}
    got, facts = read(write_dicom(tmp_path / 'a.dcm', values('uint8'), **elements))
    np.testing.assert_array_equal(got[..., 0], values('uint8'))
    assert facts.get('assumed', []) == said


@pytest.mark.parametrize(
    ('photometric', 'shape'),
    [('MONOCHROME2', (*SHAPE, 3)), ('RGB', SHAPE), ('YBR_RCT', (*SHAPE, 3)), ('YBR_ICT', (*SHAPE, 3))],
)
def test_labels_that_the_pixels_cannot_have(tmp_path, photometric, shape):
    path = write_dicom(tmp_path / 'a.dcm', values('uint8', shape), photometric)
    with pytest.raises(ClipError, match=re.escape(path.name)):
        read(path)


def test_secrets_are_in_the_files_that_the_tests_read(tmp_path):
    content = write_dicom(tmp_path / 'a.dcm', values('uint8'), secret=True).read_bytes()
    assert all(trace.encode() in content for trace in TRACES) and len(SECRETS) == 9
