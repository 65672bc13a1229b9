import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from uscl.clips.frame_folder import FrameFolder
from uscl.core.errors import ClipError
from uscl.core.natural_order import natural_key


@given(st.lists(st.integers(0, 10**6), unique=True), st.text('abc_- ', max_size=4))
def test_numbers_sort_by_value(numbers, prefix):
    names = [f'{prefix}{number}.png' for number in numbers]
    assert sorted(names, key=natural_key) == [f'{prefix}{number}.png' for number in sorted(numbers)]


@given(st.lists(st.text(max_size=8), unique=True, max_size=8))
def test_any_names_have_one_order(names):
    assert len({natural_key(name) for name in names}) == len(names)
    expected = sorted(names, key=natural_key)
    for order in itertools.islice(itertools.permutations(names), 10):
        assert sorted(order, key=natural_key) == expected


def test_leading_zeros_and_case_count_last():
    names = ['b1', 'A10', 'a2', 'a02', 'A1']
    assert sorted(names, key=natural_key) == ['A1', 'a02', 'a2', 'A10', 'b1']


def test_all_frames_in_natural_order(tmp_path):
    for number, suffix in ((1, 'png'), (2, 'jpg'), (10, 'PNG'), (3, 'bmp'), (4, 'jpeg'), (5, 'tif')):
        Image.new('L', (32, 24), number * 20).save(tmp_path / f'frame{number}.{suffix}')
    (tmp_path / '._frame1.png').write_bytes(b'not an image')
    (tmp_path / 'notes.txt').write_text('not an image')
    reader = FrameFolder(tmp_path)
    frames = list(reader)
    assert [round(frame.mean() / 20) for frame in frames] == [1, 2, 3, 4, 5, 10]
    assert {frame.shape for frame in frames} == {(24, 32, 3)} and frames[0].dtype == np.uint8
    assert reader.facts == {'frames_decoded': 6}


def test_channels_are_rgb(tmp_path):
    Image.new('RGB', (4, 4), (250, 100, 5)).save(tmp_path / 'a.png')
    assert next(iter(FrameFolder(tmp_path)))[0, 0].tolist() == [250, 100, 5]


def test_deep_grey_has_one_scale_and_eight_bits_are_left_alone(tmp_path):
    for name, values in (('a1', [[100, 1000]]), ('a2', [[2100, 350]])):
        Image.fromarray(np.array(values, np.uint16)).save(tmp_path / f'{name}.png')
    Image.fromarray(np.array([[3, 250]], np.uint8)).save(tmp_path / 'a3.png')
    folder = FrameFolder(tmp_path)
    frames = [frame[0, :, 1].tolist() for frame in folder]
    # (value - 100) / 2000 * 255
    assert frames == [[0, 115], [255, 32], [3, 250]]
    assert folder.facts == {'frames_decoded': 3, 'rescaled': ['grey levels 100 to 2100']}


def test_only_some_are_turned(tmp_path):
    exif = Image.Exif()
    for number, orientation in enumerate((1, 6, 6, 3)):
        exif[0x0112] = orientation
        Image.new('L', (4, 2)).save(tmp_path / f'{number}.jpg', exif=exif)
    folder = FrameFolder(tmp_path)
    assert [frame.shape for frame in folder] == [(2, 4, 3), (4, 2, 3), (4, 2, 3), (2, 4, 3)]
    assert folder.facts['turned'] == 'rotated 90° (2 of 4), rotated 180° (1 of 4)'


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'bmp', 'tif'])
def test_truncated_image_is_named(tmp_path, suffix):
    rng = np.random.default_rng(0)
    for name in ('a1', 'a2'):
        Image.fromarray(rng.integers(0, 256, (64, 64), np.uint8)).save(tmp_path / f'{name}.{suffix}')
    content = (tmp_path / f'a2.{suffix}').read_bytes()
    (tmp_path / f'a2.{suffix}').write_bytes(content[: len(content) // 2])
    with pytest.raises(ClipError, match=rf'image a2.{suffix} cannot be read .*: replace or remove it'):
        list(FrameFolder(tmp_path))


def test_no_image(tmp_path):
    with pytest.raises(ClipError, match='holds no image'):
        list(FrameFolder(tmp_path))
    with pytest.raises(ClipError, match='cannot be opened'):
        list(FrameFolder(tmp_path / 'absent'))
