import copy
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from uscl.data.coco_faults import REMEDIES
from uscl.data.coco_file import read_coco, repair_coco

SIZE = (30, 40)
SQUARE = [10, 5, 30, 5, 30, 20, 10, 20]


def mask(*box):
    pixels = np.zeros(SIZE, np.uint8, order='F')
    x, y, w, h = box or (10, 5, 20, 15)
    pixels[y : y + h, x : x + w] = 1
    return pixels


def encode(pixels):
    rle = coco_mask.encode(np.asfortranarray(pixels))
    return {'size': list(rle['size']), 'counts': rle['counts'].decode()}


def runs(pixels):
    flat = pixels.ravel(order='F')
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=2 - flat[-1]))
    return {'size': list(SIZE), 'counts': np.diff(edges, prepend=0).tolist()}


@pytest.fixture
def clean(tmp_path):
    """Three images; polygons, compressed and plain run lengths."""
    images = [dict(id=k, file_name=f's/{k}.png', width=40, height=30) for k in range(3)]  # an image's id may be 0
    for image in images:
        (tmp_path / 's').mkdir(exist_ok=True)
        Image.new('L', (40, 30)).save(tmp_path / image['file_name'])
    entry = dict(image_id=0, category_id=0, bbox=[10, 5, 20, 15], area=300, iscrowd=0)
    shapes = [[SQUARE], encode(mask()), runs(mask()), [SQUARE, [0, 0, 40, 0, 40, 30]]]
    annotations = [dict(entry, id=k, segmentation=shape) for k, shape in enumerate(shapes, start=1)]
    return dict(images=images, annotations=annotations, categories=[dict(id=0, name='lesion')])


def read(content, folder, **options):
    path = folder / 'val.json'
    path.write_text(json.dumps(content))
    return read_coco(path, folder, **options)


def test_a_sound_file_is_read_as_it_is(clean, tmp_path):
    assert read(copy.deepcopy(clean), tmp_path, needs_masks=True) == clean
    for annotation in clean['annotations']:
        annotation['segmentation'] = []  # boxes alone
    del clean['annotations'][0]['segmentation']
    assert read(copy.deepcopy(clean), tmp_path) == clean
    assert repair_coco(clean) == []


def on(part, position, **changes):
    """Change an entry; ... removes a key."""

    def change(content):
        entry = content[part][position]
        entry.update(changes)
        for key in [key for key, value in changes.items() if value is ...]:
            del entry[key]

    return change


def image(**changes):
    return on('images', 1, **changes), '1.png'


def annotation(**changes):
    return on('annotations', 1, **changes), 'annotations[1]'


LEAVES = 'file_name or link outside the image folder'
NO_SHAPE = 'segmentation that is neither polygons of at least 6 numbers nor run lengths'
NO_FIT = 'segmentation with run lengths that do not fit the image'
BAD = [
    ('category without a unique id (integer) and name', on('categories', 0, name=...), "{'id': 0}"),
    ('image without a unique id (integer)', *image(id=0)),
    ('image without a unique id (integer)', *image(id='1')),
    ('image without width and height (integers, in pixels)', *image(width=...)),
    ('image without width and height (integers, in pixels)', *image(height=0)),
    ('image without file_name', on('images', 1, file_name=...), 'images[1]'),
    ('file_name used by another image', on('images', 1, file_name='s/0.png'), 's/0.png'),
    (LEAVES, on('images', 1, file_name='../other/1.png'), '../other/1.png'),
    (LEAVES, on('images', 1, file_name='/etc/passwd'), '/etc/passwd'),
    (LEAVES, on('images', 1, file_name='s\\..\\..\\1.png'), '1.png'),
    (LEAVES, on('images', 1, file_name='out.png'), 'out.png'),
    (LEAVES, on('images', 1, file_name='far/1.png'), 'far/1.png'),
    ('image file that does not exist', on('images', 1, file_name='s/9.png'), 's/9.png'),
    ('image file that does not exist', on('images', 1, file_name='s'), 's'),
    ('image file that cannot be opened', on('images', 1, file_name='val.json'), 'val.json'),
    ('image file that cannot be opened', on('images', 1, file_name='x' * 300), 'xxx'),
    ('image file whose size differs from its entry', *image(width=30, height=40)),
    ('annotation without a unique id (integer)', *annotation(id=1)),
    ('annotation without a unique id (integer)', *annotation(id=...)),
    ('annotation without a unique id (integer)', *annotation(id=True)),
    ('image_id without an image', *annotation(image_id=7)),
    ('image_id without an image', *annotation(image_id=...)),
    ('category_id without a category', *annotation(category_id=1)),
    ('bbox that is not four numbers', *annotation(bbox=...)),
    ('bbox that is not four numbers', *annotation(bbox=[1, 2, 3])),
    ('bbox that is not four numbers', *annotation(bbox=[1, 2, '3', 4])),
    ('bbox smaller than a pixel', *annotation(bbox=[10, 5, 0, 15])),
    ('bbox smaller than a pixel', *annotation(bbox=[0.2, 0.1, 0.4, 0.3])),  # a share of the image
    ('bbox smaller than a pixel', *annotation(bbox=[1, 2, float('nan'), 4])),
    ('bbox outside the image', *annotation(bbox=[20, 5, 30, 15])),
    ('bbox outside the image', *annotation(bbox=[-3, 5, 20, 15])),
    ('area not above 0', *annotation(area=0)),
    ('area not above 0', *annotation(area=None)),
    ('iscrowd that is not 0 or 1', *annotation(iscrowd=2)),
    ('annotation without segmentation', *annotation(segmentation=...)),
    ('annotation without segmentation', *annotation(segmentation=[])),
    (NO_SHAPE, *annotation(segmentation=[SQUARE[:4]])),
    (NO_SHAPE, *annotation(segmentation=[SQUARE, SQUARE[:7]])),
    (NO_SHAPE, *annotation(segmentation=SQUARE)),
    (NO_SHAPE, *annotation(segmentation='mask.png')),
    (NO_SHAPE, *annotation(segmentation={'size': [30, 40]})),
    ('segmentation outside the image', *annotation(segmentation=[[10, 5, 60, 5, 30, 20]])),
    (NO_FIT, *annotation(segmentation=dict(encode(mask()), size=[40, 30]))),
    (NO_FIT, *annotation(segmentation=dict(encode(mask()[:20]), size=[30, 40]))),
    (NO_FIT, *annotation(segmentation={'size': [30, 40], 'counts': 'no run lengths'})),
    (NO_FIT, *annotation(segmentation={'size': [30, 40], 'counts': [100, 10]})),
    (NO_FIT, *annotation(segmentation={'size': [30, 40], 'counts': [1300, -100]})),
    ('segmentation without pixels', *annotation(segmentation=encode(mask(0, 0, 0, 0)))),
    ('segmentation without pixels', *annotation(segmentation={'size': [30, 40], 'counts': [1200]})),
    ('bbox given as two corners, according to its segmentation',
     on('annotations', 1, bbox=[4, 5, 20, 15], segmentation=[[4, 5, 20, 5, 20, 15, 4, 15]]), 'annotations[1]'),
]  # fmt: skip


@pytest.mark.parametrize(('what', 'spoil', 'named'), BAD, ids=range(len(BAD)))
def test_the_offender_is_named(clean, tmp_path, what, spoil, named):
    (tmp_path / 'images').mkdir()
    (tmp_path / 's').rename(tmp_path / 'images/s')
    (tmp_path / 'far').mkdir()
    for outside in (tmp_path / 'other.png', tmp_path / 'far/1.png'):
        Image.new('L', (40, 30)).save(outside)
    (tmp_path / 'images/out.png').symlink_to(tmp_path / 'other.png')
    (tmp_path / 'images/far').symlink_to(tmp_path / 'far')
    read(copy.deepcopy(clean), tmp_path / 'images', needs_masks=True)
    spoil(clean)
    with pytest.raises(ValueError) as caught:
        read(clean, tmp_path / 'images', needs_masks=True)
    first, *lines = str(caught.value).splitlines()
    assert 'val.json cannot be used' in first
    (line,) = [line for line in lines if line.startswith(f'- {what}: ')]
    assert named in line and line.endswith(f': {REMEDIES[what]}.')


def test_every_kind_is_tested():
    assert {what for what, *_ in BAD} == set(REMEDIES)


def test_all_kinds_are_told_at_once_and_briefly(clean, tmp_path):
    clean['annotations'] = [
        dict(entry, id=k, bbox=[0, 0, 99, 9], image_id=k % 4) for entry in clean['annotations'] for k in range(500)
    ]
    clean['images'][2].update(file_name=f'{"x" * 300}.png')
    with pytest.raises(ValueError) as caught:
        read(clean, tmp_path)
    message = str(caught.value)
    assert len(message) < 1200 and len(message.splitlines()) == 5
    assert 'annotations[500], id 0 and 1499 more: number the annotations' in message
    assert 'annotations[0], id 0, bbox [0, 0, 99, 9] and 1499 more' in message
    assert 'annotations[3], id 3, image_id 3 and 499 more' in message


def test_a_folder_that_is_a_link_itself_is_none_that_leads_out(clean, tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path)
    assert read(clean, tmp_path / 'link') == clean


def test_a_turned_jpeg_has_the_size_that_is_seen(clean, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('L', (30, 40)).save(tmp_path / 's/turned.jpg', exif=exif)
    clean['images'][1]['file_name'] = 's/turned.jpg'
    assert read(clean, tmp_path) == clean


@pytest.mark.parametrize('position', range(4))
def test_what_has_one_meaning_is_repaired(clean, position):
    expected = [300, 300, 300, None][position] or int(
        coco_mask.area(coco_mask.merge(coco_mask.frPyObjects(clean['annotations'][3]['segmentation'], *SIZE)))
    )
    for number, entry in enumerate(clean['annotations']):
        entry['id'] = number
    repaired = clean['annotations'][position]
    del repaired['area'], repaired['iscrowd']
    done = repair_coco(clean)
    assert [entry['id'] for entry in clean['annotations']] == [1, 2, 3, 4]
    assert (repaired['area'], repaired['iscrowd']) == (expected, 0)
    assert len(done) == 3 and repair_coco(clean) == []


def test_the_area_of_a_box(clean):
    entry = clean['annotations'][0]
    del entry['segmentation'], entry['area']
    assert repair_coco(clean) == ['computed area of 1 annotation'] and entry['area'] == 300
