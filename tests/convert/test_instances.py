import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from lesion_folders import GREEN, RED, blobs, flood_components, make_uclm, paint, save, scan
from pycocotools import mask as coco_mask

from uscl.convert.lesions.instances import find_instances, read_lesions
from uscl.convert.lesions.lesion_sources import LesionSource, find_lesions


def as_set(lesion):
    return frozenset(zip(*(axis.tolist() for axis in np.nonzero(coco_mask.decode(lesion.rle))), strict=True))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    hnp.arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.sampled_from([False, True])),
    st.integers(1, 6),
)
def test_instances_are_the_components(mask, min_area):
    expected = flood_components(mask)
    large = {component for component in expected if len(component) >= min_area}
    lesions, specks = find_instances(mask, 'benign', min_area)
    assert {as_set(lesion) for lesion in lesions} == large and len(lesions) == len(large)
    assert specks == len(expected) - len(large)
    for lesion in lesions:
        pixels = as_set(lesion)
        rows, columns = {y for y, _ in pixels}, {x for _, x in pixels}
        assert lesion.area == len(pixels)
        assert lesion.bbox == (
            min(columns),
            min(rows),
            max(columns) - min(columns) + 1,
            max(rows) - min(rows) + 1,
        )
        assert lesion.rle['size'] == list(mask.shape)
        assert lesion.class_name == 'benign'


def test_a_hole_survives_and_corners_connect():
    ring = blobs((2, 2, 9, 9)) > 0
    ring[4:8, 4:8] = False
    ring[5, 6] = True  # an island in the hole is an instance of its own
    ring[11, 11] = True  # touches a corner
    (outer, island), specks = find_instances(ring, 'lesion', 1)
    assert (outer.area, outer.bbox) == (81 - 16 + 1, (2, 2, 10, 10))
    assert (island.area, island.bbox, specks) == (1, (6, 5, 1, 1), 0)
    assert not coco_mask.decode(outer.rle)[4:8, 4:8].any()


def test_touching_colours_are_two_instances(tmp_path):
    picture = paint((GREEN, 5, 5, 8, 8), (RED, 5, 13, 8, 8), (RED, 25, 30, 2, 2))
    save(tmp_path / 'images/a_1.png', scan())
    save(tmp_path / 'masks/a_1.png', picture)
    (source,) = find_lesions('bus_uclm', tmp_path, with_classes=True)[0]
    image = read_lesions(tmp_path, source, coloured=True, min_area=20)
    assert [(lesion.class_name, lesion.bbox) for lesion in image.lesions] == [
        ('benign', (5, 5, 8, 8)),
        ('malignant', (13, 5, 8, 8)),
    ]
    assert (image.width, image.height, image.specks, image.label) == (40, 30, 1, 'malignant')


@pytest.mark.parametrize(('letter', 'label'), [('b', 'benign'), ('m', 'malignant'), ('n', 'normal')])
def test_label_by_colour(tmp_path, letter, label):
    (source,) = find_lesions('bus_uclm', make_uclm(tmp_path, {'AB': letter}), with_classes=False)[0]
    assert read_lesions(tmp_path, source, coloured=True, min_area=20).label == label


def test_masks_of_one_image_stay_apart(tmp_path):
    save(tmp_path / 'a.png', scan())
    masks = [save(tmp_path / f'a_mask{end}.png', blobs((5, 5 + k, 9, 9))) for k, end in enumerate(['', '_1'])]
    source = LesionSource(masks[0].with_name('a.png').relative_to(tmp_path), tuple(masks), 'malignant')
    image = read_lesions(tmp_path, source, coloured=False, min_area=20)
    assert [(lesion.class_name, lesion.bbox) for lesion in image.lesions] == [
        ('malignant', (5, 5, 9, 9)),
        ('malignant', (6, 5, 9, 9)),  # it overlaps the other
    ]


def test_a_lesion_of_two_masks_is_one(tmp_path):
    save(tmp_path / 'a.png', scan())
    both = blobs((5, 5, 9, 9), (20, 20, 6, 6))
    masks = [save(tmp_path / f'a_mask_{k}.png', mask) for k, mask in enumerate([blobs((5, 5, 9, 9)), both, both])]
    source = LesionSource(masks[0].with_name('a.png').relative_to(tmp_path), tuple(masks), 'benign')
    image = read_lesions(tmp_path, source, coloured=False, min_area=20)
    assert [lesion.bbox for lesion in image.lesions] == [(5, 5, 9, 9), (20, 20, 6, 6)]
    assert image.repeats == 3


def test_touching_numbers_are_two_instances(tmp_path):
    save(tmp_path / 'images/a.png', scan())
    save(tmp_path / 'masks/a.png', blobs((5, 5, 8, 8)) // 255 * 2 + blobs((5, 13, 8, 8), (25, 1, 2, 2)) // 255)
    (source,) = find_lesions('pairs', tmp_path, with_classes=False)[0]
    image = read_lesions(tmp_path, source, coloured=False, min_area=20)
    assert [lesion.bbox for lesion in image.lesions] == [(13, 5, 8, 8), (5, 5, 8, 8)]
    assert image.specks == 1


def test_what_is_refused(tmp_path):
    save(tmp_path / 'images/a.png', scan())
    save(tmp_path / 'masks/a.png', blobs((5, 5, 9, 9), size=(30, 41)))
    (source,) = find_lesions('pairs', tmp_path, with_classes=False)[0]
    with pytest.raises(ValueError, match=r'it has 40x30 pixels, its mask a\.png 41x30'):
        read_lesions(tmp_path, source, coloured=False, min_area=20)
    (tmp_path / 'masks/a.png').write_bytes(b'')
    with pytest.raises(ValueError, match=r'a\.png cannot be read'):
        read_lesions(tmp_path, source, coloured=False, min_area=20)
    save(tmp_path / 'masks/a.png', blobs((5, 5, 9, 9)))
    normal = LesionSource(source.path, source.masks, 'normal')
    with pytest.raises(ValueError, match=r'it is labelled normal, but its mask is not empty'):
        read_lesions(tmp_path, normal, coloured=False, min_area=20)
