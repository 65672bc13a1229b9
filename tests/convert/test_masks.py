import numpy as np
import pytest
from lesion_folders import GREEN, RED, blobs, paint, save
from PIL import Image

from uscl.convert.lesions.masks import read_binary_mask, read_colour_mask, read_image

TRUTH = blobs((5, 6, 12, 14), (20, 30, 8, 8)) > 0


def as_palette(mask):
    image = Image.new('P', mask.shape[::-1])
    image.putdata(mask.astype(np.uint8).ravel().tolist())
    image.putpalette([0, 0, 0, 128, 0, 0] + [0] * 762)
    return image


def with_alpha(mask):
    return Image.fromarray(np.dstack([np.full((*mask.shape, 3), 255, np.uint8), mask * np.uint8(255)]))


@pytest.mark.parametrize(
    ('name', 'make'),
    [
        ('white.png', lambda mask: Image.fromarray(mask * np.uint8(255))),
        ('one.png', lambda mask: Image.fromarray(mask * np.uint8(1))),
        ('grey.png', lambda mask: Image.fromarray(mask * np.uint8(100))),
        ('bits.png', lambda mask: Image.fromarray(mask)),
        ('deep.png', lambda mask: Image.fromarray(mask * np.uint16(65535))),
        ('deep.tif', lambda mask: Image.fromarray(mask * np.uint16(1))),
        ('colour.bmp', lambda mask: Image.fromarray(mask[..., None] * np.array([9, 200, 0], np.uint8))),
        ('palette.png', as_palette),
        ('alpha.png', with_alpha),
    ],
)
def test_every_way_to_store_a_mask(tmp_path, name, make):
    make(TRUTH).save(tmp_path / name)
    np.testing.assert_array_equal(read_binary_mask(tmp_path / name, 20), TRUTH)


def test_numbered_lesions(tmp_path):
    mask = (blobs((2, 2, 6, 6)) > 0) + 2 * (blobs((2, 20, 6, 6)) > 0) + 31 * (blobs((20, 2, 6, 6)) > 0)
    np.testing.assert_array_equal(read_binary_mask(save(tmp_path / 'm.png', mask), 20), mask > 0)


@pytest.mark.parametrize('name', ['empty.png', 'empty.jpg'])
def test_empty(tmp_path, name):
    save(tmp_path / name, blobs())
    assert not read_binary_mask(tmp_path / name, 20).any()
    assert not any(mask.any() for mask in read_colour_mask(tmp_path / name, 20).values())


@pytest.mark.parametrize('quality', [40, 75, 95])
def test_jpeg(tmp_path, quality):
    path = save(tmp_path / 'm.jpg', TRUTH * 255, quality=quality)
    stored = np.asarray(Image.open(path))
    assert len(np.unique(stored)) > 2  # it was blurred indeed
    np.testing.assert_array_equal(read_binary_mask(path, 20), TRUTH)


def test_a_jpeg_with_noise_alone_is_empty(tmp_path):
    path = save(tmp_path / 'm.jpg', np.random.default_rng(0).integers(0, 6, (64, 64)), quality=95)
    assert np.asarray(Image.open(path)).any()
    assert not read_binary_mask(path, 20).any()


def test_smoothed_mask_is_cut_at_half(tmp_path):
    ramp = np.zeros((20, 20), np.uint8)
    ramp[5:15, 4:12] = [0, 60, 127, 128, 200, 255, 255, 255]
    np.testing.assert_array_equal(read_binary_mask(save(tmp_path / 'm.png', ramp), 20), ramp >= 128)


def test_grey_region_is_refused_unless_small(tmp_path):
    mask = blobs((2, 2, 10, 10))
    mask[20:25, 20:25] = 100
    with pytest.raises(ValueError, match=r'25 pixels of grey \(about 100 of 255\) in regions of their own'):
        read_binary_mask(save(tmp_path / 'm.png', mask), 20)
    np.testing.assert_array_equal(read_binary_mask(tmp_path / 'm.png', 26), mask == 255)


def test_colours_are_classes(tmp_path):
    picture = paint(
        (GREEN, 2, 3, 10, 9), (RED, 2, 12, 10, 5), ((0, 200, 40), 20, 3, 5, 5), ((130, 10, 0), 20, 20, 5, 5)
    )
    masks = read_colour_mask(save(tmp_path / 'm.png', picture), 20)
    np.testing.assert_array_equal(masks['benign'], picture[..., 1] > 100)
    np.testing.assert_array_equal(masks['malignant'], picture[..., 0] > 100)


def test_a_seam_of_mixed_colour_goes_to_the_stronger_and_a_tie_to_malignant(tmp_path):
    picture = paint((GREEN, 5, 5, 9, 9), ((128, 127, 0), 5, 14, 3, 1), ((127, 128, 0), 8, 14, 3, 1))
    picture[11:14, 14] = (128, 128, 0)
    masks = read_colour_mask(save(tmp_path / 'm.png', picture), 9)
    assert masks['malignant'][5:14, 14].tolist() == [True] * 3 + [False] * 3 + [True] * 3
    assert masks['benign'][5:14, 14].tolist() == [False] * 3 + [True] * 3 + [False] * 3


@pytest.mark.parametrize('quality', [50, 90])
@pytest.mark.parametrize('subsampling', [0, 2])
def test_jpeg_with_touching_colours(tmp_path, quality, subsampling):
    rows, columns = np.mgrid[:120, :160]
    green = ((rows - 60) / 40) ** 2 + ((columns - 55) / 40) ** 2 <= 1
    red = (np.abs(rows - 55) <= 30) & (columns >= 80) & (columns < 130)
    green &= ~red
    picture = np.dstack([red, green, np.zeros_like(red)]) * 255
    masks = read_colour_mask(save(tmp_path / 'm.jpg', picture, quality=quality, subsampling=subsampling), 20)
    for name, truth in (('benign', green), ('malignant', red)):
        assert (masks[name] & truth).sum() / (masks[name] | truth).sum() > 0.99
    assert not (masks['benign'] & masks['malignant']).any()


@pytest.mark.parametrize('colour', [(255, 255, 255), (255, 255, 0), (0, 0, 255), (200, 180, 250)])
def test_other_colours_are_refused_unless_small(tmp_path, colour):
    path = save(tmp_path / 'm.png', paint((GREEN, 2, 3, 10, 9), (colour, 20, 20, 5, 5)))
    with pytest.raises(ValueError, match=r'25 pixels that are neither green \(benign\) nor red \(malignant\)'):
        read_colour_mask(path, 20)
    assert read_colour_mask(path, 26)['benign'][2:12, 3:12].all()


def test_damaged_file(tmp_path):
    path = save(tmp_path / 'm.png', np.random.default_rng(0).integers(0, 255, (60, 60)))
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ValueError, match=r'm\.png cannot be read \(.+\): is it complete\?'):
        read_image(path)
    path.write_text('no image')
    with pytest.raises(ValueError, match=r'm\.png cannot be read'):
        read_image(path)


def test_orientation_is_that_of_opencv(tmp_path):
    import cv2

    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    save(tmp_path / 'a.jpg', blobs((0, 0, 10, 30)), exif=exif, quality=95)
    expected = cv2.imread(str(tmp_path / 'a.jpg'), cv2.IMREAD_GRAYSCALE)
    assert expected.shape == (40, 30)
    np.testing.assert_array_equal(read_binary_mask(tmp_path / 'a.jpg', 20), expected >= 128)
