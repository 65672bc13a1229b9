import numpy as np
import pytest
from lesion_folders import GREEN, RED, blobs, paint, save
from PIL import Image

from uscl.convert.lesions.masks import read_colour_mask, read_mask

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
    np.testing.assert_array_equal(read_mask(tmp_path / name, 20), TRUTH)


TOUCHING = blobs((5, 6, 12, 10)) // 255 + blobs((5, 16, 12, 14)) // 255 * 2


def in_colours(colours):
    return lambda numbers: Image.fromarray(np.array(colours, np.uint8)[numbers])


def numbered_palette(numbers):
    image = Image.fromarray(numbers, 'P')
    image.putpalette([9, 9, 9, 128, 0, 0, 0, 128, 0])
    return image


@pytest.mark.parametrize(
    ('name', 'make', 'options'),
    [
        ('numbers.png', Image.fromarray, {}),
        ('deep.png', lambda numbers: Image.fromarray(numbers.astype(np.uint16)), {}),
        ('deep.tif', lambda numbers: Image.fromarray(numbers.astype(np.float32)), {}),
        ('palette.png', numbered_palette, {'transparency': 0}),
        ('grey.png', in_colours([(0, 0, 0), (1, 1, 1), (31, 31, 31)]), {}),
        ('colours.png', in_colours([(0, 0, 0), (255, 255, 0), (0, 0, 255)]), {}),
        ('dim.png', in_colours([(0, 0, 0), (1, 0, 0), (0, 1, 0)]), {}),
        ('clear.png', in_colours([(255, 255, 255, 0), (255, 255, 255, 255), (255, 0, 0, 255)]), {}),
    ],
)
def test_every_way_to_number_touching_lesions(tmp_path, name, make, options):
    make(TOUCHING).save(tmp_path / name, **options)
    numbers = read_mask(tmp_path / name, 20)
    np.testing.assert_array_equal(numbers > 0, TOUCHING > 0)
    assert len(np.unique(numbers)) == 3
    assert all(np.ptp(numbers[value == TOUCHING]) == 0 for value in (1, 2))


@pytest.mark.parametrize('colour', [0, 90, 255])
@pytest.mark.parametrize('bands', ['LA', 'RGBA'])
def test_a_mask_in_the_transparency_alone(tmp_path, colour, bands):
    for name, mask in (('m', TRUTH), ('none', TRUTH & False)):
        grey = np.full(TRUTH.shape, colour, np.uint8)
        channels = [grey] * (len(bands) - 1) + [mask * np.uint8(255)]
        Image.fromarray(np.dstack(channels)).save(tmp_path / f'{name}.png')
        np.testing.assert_array_equal(read_mask(tmp_path / f'{name}.png', 20), mask)


def two_pages(path):
    Image.fromarray(TRUTH).save(path, save_all=True, append_images=[Image.fromarray(TRUTH)])


def hidden_palette(path):
    image = Image.fromarray(TOUCHING, 'P')
    image.putpalette([0, 0, 0, 255, 255, 255, 0, 0, 0])
    image.save(path)


def hidden_colours(path):
    Image.fromarray(np.dstack([TRUTH * np.uint8(255)] * 3 + [TRUTH * np.uint8(0)])).save(path)


@pytest.mark.parametrize('read', [read_mask, read_colour_mask])
@pytest.mark.parametrize(
    ('name', 'write', 'what'),
    [
        ('m.tif', two_pages, '2 pages'),
        ('m.png', hidden_palette, 'a palette with one colour for several values'),
        ('m.png', hidden_colours, 'colours, but is fully transparent'),
        ('m.png', lambda path: save(path, blobs((2, 2, 9, 9)) // 5), r'81 pixels of grey \(about 51 of '),
    ],
)
def test_what_would_lose_lesions_is_refused_by_name(tmp_path, read, name, write, what):
    write(tmp_path / name)
    if read is read_mask and 'grey' in what:
        save(tmp_path / name, blobs((2, 2, 9, 9)) // 5 + blobs((20, 20, 9, 9)))
    with pytest.raises(ValueError, match=rf'its mask {name} has {what}'):
        read(tmp_path / name, 20)


@pytest.mark.parametrize('name', ['empty.png', 'empty.jpg'])
def test_empty(tmp_path, name):
    save(tmp_path / name, blobs())
    assert not read_mask(tmp_path / name, 20).any()
    assert not any(mask.any() for mask in read_colour_mask(tmp_path / name, 20).values())


@pytest.mark.parametrize('quality', [40, 75, 95])
def test_jpeg(tmp_path, quality):
    path = save(tmp_path / 'm.jpg', TRUTH * 255, quality=quality)
    stored = np.asarray(Image.open(path))
    assert len(np.unique(stored)) > 2  # it was blurred indeed
    np.testing.assert_array_equal(read_mask(path, 20), TRUTH)


def test_a_jpeg_with_noise_alone_is_empty(tmp_path):
    path = save(tmp_path / 'm.jpg', np.random.default_rng(0).integers(0, 6, (64, 64)), quality=95)
    assert np.asarray(Image.open(path)).any()
    assert not read_mask(path, 20).any()


def test_smoothed_mask_is_cut_at_half(tmp_path):
    ramp = np.zeros((20, 20), np.uint8)
    ramp[5:15, 4:12] = [0, 60, 127, 128, 200, 255, 255, 255]
    np.testing.assert_array_equal(read_mask(save(tmp_path / 'm.png', ramp), 20), ramp >= 128)


def test_grey_region_is_refused_unless_small(tmp_path):
    mask = blobs((2, 2, 10, 10))
    mask[20:25, 20:25] = 100
    with pytest.raises(ValueError, match=r'm.png has 25 pixels of grey \(about 100 of 255\)'):
        read_mask(save(tmp_path / 'm.png', mask), 20)
    np.testing.assert_array_equal(read_mask(tmp_path / 'm.png', 26), mask == 255)


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
    with pytest.raises(ValueError, match=r'25 pixels neither green \(benign\) nor red \(malignant\)'):
        read_colour_mask(path, 20)
    assert read_colour_mask(path, 26)['benign'][2:12, 3:12].all()


def test_damaged_file(tmp_path):
    path = save(tmp_path / 'm.png', np.random.default_rng(0).integers(0, 255, (60, 60)))
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ValueError, match=r'm\.png cannot be read'):
        read_mask(path, 20)
    path.write_text('no image')
    with pytest.raises(ValueError, match=r'm\.png cannot be read'):
        read_mask(path, 20)


def test_orientation_is_that_of_opencv(tmp_path):
    import cv2

    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    save(tmp_path / 'a.jpg', blobs((0, 0, 10, 30)), exif=exif, quality=95)
    expected = cv2.imread(str(tmp_path / 'a.jpg'), cv2.IMREAD_GRAYSCALE)
    assert expected.shape == (40, 30)
    np.testing.assert_array_equal(read_mask(tmp_path / 'a.jpg', 20), expected >= 128)
