import cv2
import numpy as np
import pytest

from uscl.data.frame_files import file_damage, frames_damage


@pytest.fixture(scope='module')
def image():
    """Noise, so that files of every kind have some size."""
    return np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)


@pytest.mark.parametrize('kind', ['.png', '.jpg', '.bmp', '.webp', '.tiff'])
def test_whole_files_pass_also_with_something_behind(image, tmp_path, kind):
    path = tmp_path / f'a{kind}'
    cv2.imwrite(str(path), image)
    assert file_damage(path) is None
    path.write_bytes(path.read_bytes() + b'\0\0some program wrote this')
    assert file_damage(path) is None


@pytest.mark.parametrize('kind', ['.png', '.jpg', '.bmp', '.webp', '.tiff'])
def test_half_files_are_found(image, tmp_path, kind):
    path = tmp_path / f'a{kind}'
    cv2.imwrite(str(path), image)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert 'cut off' in file_damage(path) or 'cannot be decoded' in file_damage(path)


def test_every_shorter_png_and_every_changed_byte_is_found(tmp_path):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 256, (5, 7), np.uint8))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert file_damage(path) is not None, length
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        assert file_damage(path) is not None, position


def test_a_shorter_jpeg_is_found(image, tmp_path):
    path = tmp_path / 'a.jpg'
    cv2.imwrite(str(path), image)
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        assert file_damage(path) is not None, length


def test_phrases(tmp_path):
    (tmp_path / 'empty.png').touch()
    (tmp_path / 'folder.png').mkdir()
    (tmp_path / 'text.png').write_text('no image')
    assert file_damage(tmp_path / 'none.png') == 'is gone'
    assert file_damage(tmp_path / 'empty.png') == 'is empty'
    assert file_damage(tmp_path / 'folder.png') == 'cannot be read (Is a directory)'
    assert 'cannot be decoded' in file_damage(tmp_path / 'text.png')
    cv2.imwrite(str(tmp_path / 'good.png'), np.zeros((4, 4), np.uint8))
    assert frames_damage(tmp_path, ['good.png', 'good.png']) is None
    assert frames_damage(tmp_path, ['good.png', 'empty.png']) == f'{tmp_path / "empty.png"} is empty'
    found = frames_damage(tmp_path, ['good.png', 'empty.png', 'none.png'])
    assert found == f'{tmp_path / "empty.png"} is empty, 2 of its 3 frames are bad'
