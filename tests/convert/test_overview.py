import numpy as np
import pytest
from lesion_folders import GREEN, RED, make_uclm, paint, save
from PIL import Image

from uscl.convert.lesions.instances import read_lesions
from uscl.convert.lesions.lesion_sources import find_lesions
from uscl.convert.lesions.overview import COLOURS, draw_page, draw_tile, remove_overview, write_overview


def read_all(root):
    sources = find_lesions('bus_uclm', root, with_classes=False)[0]
    return [read_lesions(root, source, coloured=True, min_area=1) for source in sources]


def drawn(tile, name):
    rows, columns = np.nonzero((np.asarray(tile) == COLOURS[name]).all(axis=2))
    return rows.min(), rows.max(), columns.min(), columns.max()


@pytest.mark.parametrize('size', [(240, 320), (480, 640), (120, 160)])
def test_outline_lies_where_the_lesion_is(tmp_path, size):
    factor = size[0] // 40
    boxes = {'benign': (GREEN, 8, 8, 12, 16), 'malignant': (RED, 24, 30, 10, 12)}
    regions = [(colour, *(factor * side for side in box)) for colour, *box in boxes.values()]
    save(tmp_path / 'images/a_1.png', np.full(size, 90))
    save(tmp_path / 'masks/a_1.png', paint(*regions, size=size))
    (image,) = read_all(tmp_path)
    tile = draw_tile(tmp_path, image)
    assert tile.size == (320, 240)
    for name, (_, top, left, height, width) in boxes.items():
        expected = np.array([top, top + height, left, left + width]) * 6 - [0, 1, 0, 1]
        np.testing.assert_array_equal(drawn(tile, name), expected)
    inside = np.asarray(tile)[8 * 6 + 4 : 20 * 6 - 4, 8 * 6 + 4 : 24 * 6 - 4]
    assert (inside == 90).all()  # only the outline is drawn


def test_a_tiny_lesion_in_a_large_image_is_seen(tmp_path):
    save(tmp_path / 'images/a_1.png', np.zeros((1200, 1600)))
    save(tmp_path / 'masks/a_1.png', paint((GREEN, 601, 801, 2, 2), size=(1200, 1600)))
    (image,) = read_all(tmp_path)
    assert drawn(draw_tile(tmp_path, image), 'benign') == (120, 120, 160, 160)


def test_sixteen_bit_images_are_not_clipped(tmp_path):
    (tmp_path / 'images').mkdir()
    Image.fromarray(np.linspace(0, 4000, 320 * 240).reshape(240, 320).astype(np.uint16)).save(
        tmp_path / 'images/a_1.png'
    )
    save(tmp_path / 'masks/a_1.png', paint(size=(240, 320)))
    (image,) = read_all(tmp_path)
    rows = np.asarray(draw_tile(tmp_path, image))[:, 160, 0].astype(int)
    assert rows[0] < 5 and rows[-1] > 250 and 120 < rows[120] < 135


@pytest.mark.parametrize(('count', 'names'), [(3, ['overview.jpg']), (26, ['overview_1.jpg', 'overview_2.jpg'])])
def test_pages(tmp_path, count, names):
    images = read_all(make_uclm(tmp_path, {'AB': ('xbmn' * 7)[:count]}))
    (tmp_path / 'overview_9.jpg').touch()
    (tmp_path / 'overview_of_mine.jpg').touch()
    remove_overview(tmp_path)
    pages = write_overview(tmp_path, tmp_path, images, ['a very long caption ' * 9] * count, 'title')
    assert [page.name for page in pages] == names
    assert sorted(path.name for path in tmp_path.glob('*.jpg')) == sorted([*names, 'overview_of_mine.jpg'])
    with Image.open(pages[0]) as first, Image.open(pages[-1]) as last:
        assert last.height <= first.height
    page = draw_page(tmp_path, images[:1], ['x'], 'title')
    assert page.height < 320 and np.asarray(page).std() > 5
