"""NIfTI, NRRD and MetaImage files are written here by hand, so that nothing of the reader is its own reference."""

import gzip
import struct
import sys
from fractions import Fraction

import numpy as np
import pytest

from uscl.clips import open_clip
from uscl.clips.stack_file import StackFile, stack_files, stack_suffix
from uscl.core.errors import ClipError

NIFTI_TYPES = {'uint8': 2, 'int16': 4, 'int32': 8, 'float32': 16, 'uint16': 512}
TIMED = ('a.nii', 'a.nii.gz', 'a.nrrd', 'a.nhdr', 'a.mha', 'a.mhd')


@pytest.fixture(autouse=True)
def _needs_simpleitk():
    pytest.importorskip('SimpleITK')


def noise(shape=(7, 20, 30), dtype=np.uint8, high=256):
    return np.random.default_rng(0).integers(0, high, shape).astype(dtype)


def scaled(values):
    """Reference: the range of all values becomes 0 to 255, rounded."""
    values = values.astype(np.float64)
    return np.rint((values - values.min()) / (values.max() - values.min()) * 255)


def write_nifti(path, values, step=0.0, units=0, dims=None):
    """``values`` (T, H, W) as x, y, 1, t; ``units`` as in xyzt_units, ``dims`` to lie about them."""
    dims = dims or (4, values.shape[2], values.shape[1], 1, len(values), 1, 1, 1)
    kind, bits = NIFTI_TYPES[values.dtype.name], values.dtype.itemsize * 8
    header = struct.pack(
        '<i36x8h14xhh2x8ffffhbb', 348, *dims, kind, bits, 0, 1, 1, 1, step, 0, 0, 0, 352, 1, 0, 0, 0, units
    )
    header = header.ljust(344, b'\0') + b'n+1\0' + bytes(4)
    content = header + values.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == '.gz' else content)
    return path


def write_nrrd(path, values, fields='kinds: domain domain time', sizes=None):
    sizes = sizes or values.shape[::-1]
    kind = {'uint8': 'uint8', 'int16': 'int16', 'float32': 'float'}[values.dtype.name]
    header = f'NRRD0005\ntype: {kind}\ndimension: {len(sizes)}\nsizes: {" ".join(map(str, sizes))}\n'
    header += f'encoding: raw\nendian: little\n{fields}\n'
    if path.suffix == '.nhdr':
        path.with_suffix('.raw').write_bytes(values.tobytes())
        path.write_text(f'{header}data file: {path.stem}.raw\n')
    else:
        path.write_bytes(header.encode() + b'\n' + values.tobytes())
    return path


def write_meta(path, values, stamps=(), fields='', sizes=None):
    sizes = sizes or values.shape[::-1]
    kind = {'uint8': 'MET_UCHAR', 'int16': 'MET_SHORT', 'float32': 'MET_FLOAT'}[values.dtype.name]
    header = f'ObjectType = Image\nNDims = {len(sizes)}\nBinaryData = True\nBinaryDataByteOrderMSB = False\n'
    header += f'CompressedData = False\nDimSize = {" ".join(map(str, sizes))}\nElementType = {kind}\n{fields}'
    header += ''.join(f'Seq_Frame{k:04d}_Timestamp = {stamp}\n' for k, stamp in enumerate(stamps))
    if path.suffix == '.mhd':
        path.with_suffix('.raw').write_bytes(values.tobytes())
        path.write_text(f'{header}ElementDataFile = {path.stem}.raw\n')
    else:
        path.write_bytes(f'{header}ElementDataFile = LOCAL\n'.encode() + values.tobytes())
    return path


def write_timed(path, values):
    """At 0, 0.04, … seconds, in the way of each format."""
    if path.name.startswith('a.nii'):
        return write_nifti(path, values, step=40, units=2 + 16)  # mm, ms
    if path.suffix in ('.nrrd', '.nhdr'):
        return write_nrrd(path, values, 'units: "mm" "mm" "ms"\nspacings: 1 1 40')
    return write_meta(path, values, [0.04 * k for k in range(len(values))])


def read(path, fps=None):
    frames = np.stack(list(clip := open_clip(path, fps)))
    assert frames.dtype == np.uint8 and frames.shape[3] == 3
    return frames, clip


def refusal(path):
    with pytest.raises(ClipError) as caught:
        list(open_clip(path))
    assert caught.value.path == path
    return caught.value.reason


@pytest.mark.parametrize('dtype, high', [(np.uint8, 256), (np.int16, 4096)])
@pytest.mark.parametrize('name', TIMED)
def test_frames_and_times(tmp_path, name, dtype, high):
    values = noise(dtype=dtype, high=high)
    frames, clip = read(write_timed(tmp_path / name, values))
    np.testing.assert_array_equal(frames[..., 0], values if dtype == np.uint8 else scaled(values))
    assert (frames == frames[..., :1]).all()
    assert clip.times == pytest.approx([0.04 * k for k in range(7)])
    rescaled = {} if dtype == np.uint8 else {'rescaled': [f'grey levels {values.min()} to {values.max()}']}
    assert clip.facts == {'frames_decoded': 7, 'frame_rate': 25.0} | rescaled
    some, sampled = read(tmp_path / name, 10)
    kept = [
        k for k in range(7) if k == 0 or Fraction(k, 25) // Fraction(1, 10) > Fraction(k - 1, 25) // Fraction(1, 10)
    ]
    np.testing.assert_array_equal(some, frames[kept])
    assert sampled.times == [clip.times[k] for k in kept] and sampled.facts == clip.facts


@pytest.mark.parametrize('units, seconds', [(8, 1), (16, 1e-3), (24, 1e-6)])
def test_units_of_nifti(tmp_path, units, seconds):
    _, clip = read(write_nifti(tmp_path / 'a.nii', noise(), step=0.02 / seconds, units=2 + units))
    assert clip.times == pytest.approx([0.02 * k for k in range(7)])


def test_an_unknown_rate_is_assumed_and_said(tmp_path):
    for path in (
        write_nifti(tmp_path / 'a.nii', noise(), step=1),
        write_nrrd(tmp_path / 'a.nrrd', noise()),
        write_meta(tmp_path / 'a.mha', noise(), sizes=(30, 20, 1, 7)),
    ):
        frames, clip = read(path)
        np.testing.assert_array_equal(frames[..., 0], noise())
        assert clip.facts == {'frames_decoded': 7, 'frame_rate': 25.0, 'assumed': ['frame rate']}
        assert clip.times == pytest.approx([0.04 * k for k in range(7)])


def test_stamps_of_plus(tmp_path):
    stamps = [100.5, 100.6, 100.65, 101, 102, 102.1, 104.5]
    _, clip = read(write_meta(tmp_path / 'a.mha', noise(), stamps))
    assert clip.times == pytest.approx(stamps) and clip.facts['frame_rate'] == pytest.approx(6 / 4)


def test_a_list_along_the_first_axis(tmp_path):
    values = noise()
    interleaved = np.moveaxis(values, 0, 2)  # the frame varies fastest, as in the sequences of 3D Slicer
    fields = 'kinds: list domain domain'
    frames, _ = read(write_nrrd(tmp_path / 'a.nrrd', np.ascontiguousarray(interleaved), fields))
    np.testing.assert_array_equal(frames[..., 0], values)


def test_colours(tmp_path):
    values = noise((7, 20, 30, 3))
    path = write_nrrd(tmp_path / 'a.nrrd', values, 'kinds: RGB-color domain domain time')
    np.testing.assert_array_equal(read(path)[0], values)
    path = write_meta(tmp_path / 'a.mha', values, range(7), 'ElementNumberOfChannels = 3\n', sizes=(30, 20, 7))
    np.testing.assert_array_equal(read(path)[0], values)
    reason = refusal(write_nrrd(tmp_path / 'b.nrrd', values.astype(np.int16), 'kinds: RGB-color domain domain time'))
    assert '3 x int16' in reason


def test_one_slice_is_one_frame(tmp_path):
    for sizes in ((30, 20), (30, 20, 1)):
        frames, _ = read(write_meta(tmp_path / 'a.mha', noise((1, 20, 30)), sizes=sizes))
        np.testing.assert_array_equal(frames[..., 0], noise((1, 20, 30)))


def test_volumes_are_refused(tmp_path):
    values = noise()
    for path in (
        write_nifti(tmp_path / 'a.nii', values, dims=(3, 30, 20, 7, 1, 1, 1, 1)),
        write_nifti(tmp_path / 'b.nii', values, 40, 18, dims=(3, 30, 20, 7, 1, 1, 1, 1)),
        write_nrrd(tmp_path / 'a.nrrd', values, 'kinds: domain domain domain'),
        write_nrrd(tmp_path / 'b.nrrd', values, 'kinds: time domain domain'),
        write_meta(tmp_path / 'a.mha', values),
        write_meta(tmp_path / 'b.mha', values, stamps=range(6)),
    ):
        assert refusal(path).startswith('a volume (30 x 20 x 7)'), path
    reason = refusal(write_nifti(tmp_path / 'c.nii', noise((6, 20, 30)), dims=(4, 30, 20, 2, 3, 1, 1, 1)))
    assert reason.startswith('a volume (30 x 20 x 2 x 3)')


@pytest.mark.parametrize('name', TIMED)
def test_cut_off(tmp_path, name):
    path = write_timed(tmp_path / name, noise())
    held = path if path.suffix not in ('.mhd', '.nhdr') else path.with_suffix('.raw')
    whole = held.read_bytes()
    for end in (len(whole) - 1, len(whole) // 2, 0):
        held.write_bytes(whole[:end])
        assert refusal(path).startswith(('truncated: ', 'damaged, or not what its name says: '))
    held.write_bytes(whole)
    assert len(read(path)[0]) == 7


@pytest.mark.parametrize('name', TIMED)
def test_text(tmp_path, name):
    (tmp_path / name).write_text('notes\n' * 99)
    assert refusal(tmp_path / name).startswith('damaged, or not what its name says: ')


def test_a_header_that_is_no_text(tmp_path):
    path = write_timed(tmp_path / 'a.mha', noise())
    path.write_bytes(path.read_bytes().replace(b'Seq_Frame0003', b'Seq_\xff\xferame0003'))
    assert refusal(path).startswith('damaged, or not what its name says: ')


def test_pixels_that_are_not_numbers(tmp_path):
    values = noise().astype(np.float32)
    np.testing.assert_array_equal(read(write_timed(tmp_path / 'a.nrrd', values))[0][..., 0], scaled(values))
    values[2, 3, 4] = np.inf
    assert refusal(write_timed(tmp_path / 'a.nrrd', values)).startswith('some pixels are not numbers')


@pytest.mark.parametrize('sizes', [(300000, 2000, 1, 7), (3000, 2000, 1, 70000)])
def test_claims_that_would_fill_the_memory(tmp_path, sizes):
    for path in (
        write_meta(tmp_path / 'a.mha', noise(), sizes=sizes),
        write_nrrd(tmp_path / 'a.nrrd', noise(), 'content: x', sizes=sizes),
    ):
        assert 'more than' in refusal(path)


@pytest.mark.parametrize('name', ['../a.raw', 'LIST', 'a%03d.raw 1 7 1', 'absent.raw', 'x' * 300])
@pytest.mark.parametrize('suffix', ['.mhd', '.mha', '.nhdr', '.nrrd'])
def test_pixels_elsewhere_are_not_opened(tmp_path, suffix, name):
    folder = tmp_path / 'in'
    folder.mkdir()
    path = write_timed(folder / f'a{".mhd" if suffix[1] == "m" else ".nhdr"}', noise())
    (tmp_path / 'a.raw').write_bytes((folder / 'a.raw').read_bytes())
    path = path.rename(path.with_suffix(suffix))
    assert stack_files(path) == [path, folder / 'a.raw']
    path.write_text(path.read_text().replace('a.raw', name))
    assert refusal(path).startswith(('its pixels are not in one file', 'it cannot be opened'))


def test_suffixes(tmp_path):
    names = {'a.NII.GZ': '.nii.gz', 'a.nii': '.nii', 'a.seq.nrrd': '.nrrd', 'a.gz': None, 'nii': None}
    assert {name: stack_suffix(tmp_path / name) for name in names} == names


def test_without_simpleitk(tmp_path, monkeypatch):
    path = write_timed(tmp_path / 'a.nrrd', noise())
    monkeypatch.setitem(sys.modules, 'SimpleITK', None)
    with pytest.raises(ClipError, match=r"a\.nrrd: .*pip install 'uscl_plugin\[stacks\]'"):
        list(StackFile(path))


def test_a_third_axis_that_is_called_time(tmp_path):
    """As in public sets of sequences, whose headers give its step in mm."""
    values = noise()
    volumes = [
        write_nifti(tmp_path / 'a.nii.gz', values, dims=(3, 30, 20, 7, 1, 1, 1, 1)),
        write_nrrd(tmp_path / 'b.nrrd', values, 'kinds: domain domain domain'),
        write_meta(tmp_path / 'c.mha', values),
    ]
    for path in volumes:
        assert refusal(path).startswith('a volume')
        frames = np.stack(list(clip := open_clip(path, third_axis_time=True)))
        np.testing.assert_array_equal(frames[..., 0], values)
        assert clip.facts['assumed'] == ['time axis', 'frame rate']
        sampled = list(open_clip(path, 5, third_axis_time=True))
        np.testing.assert_array_equal(np.stack(sampled)[..., 0], values[::5])
    stated = write_timed(tmp_path / 'd.nrrd', values)
    list(clip := open_clip(stated, third_axis_time=True))
    assert 'assumed' not in clip.facts and clip.times[1] == pytest.approx(0.04)
    moving = write_nifti(tmp_path / 'e.nii', np.repeat(values, 2, axis=0), dims=(4, 30, 20, 7, 2, 1, 1, 1))
    with pytest.raises(ClipError, match=r'a volume \(30 x 20 x 7 x 2\)'):
        list(open_clip(moving, third_axis_time=True))
