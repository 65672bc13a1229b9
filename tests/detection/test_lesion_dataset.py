import json
import re

import pytest
from lesion_truth import IMAGES, write_truth

import uscl_plugin.compat.mmcv_ops  # noqa: F401
from uscl_plugin.detection.lesion_dataset import LesionDataset


def build(folder, classes=('lesion',), pipeline=(), **settings):
    return LesionDataset(
        data_root=str(folder), ann_file='annotations/val.json', data_prefix=dict(img='images/'),
        metainfo=dict(classes=classes), pipeline=list(pipeline), **settings,
    )  # fmt: skip


@pytest.mark.parametrize('test_mode', [True, False])
def test_images_without_a_lesion_stay_and_the_file_is_named(tmp_path, test_mode):
    write_truth(tmp_path)
    data = build(tmp_path, test_mode=test_mode, filter_cfg=dict(filter_empty_gt=False))
    assert len(data) == len(IMAGES)
    assert [len(data.get_data_info(k)['instances']) for k in range(6)] == [1, 2, 0, 1, 0, 1]
    assert data.metainfo['ann_file'] == str(tmp_path / 'annotations' / 'val.json')


def test_two_data_sets_keep_their_own_files(tmp_path):
    first, second = (build(write_truth(tmp_path / name)) for name in 'xy')
    assert first.metainfo['ann_file'] != second.metainfo['ann_file']
    assert 'ann_file' not in LesionDataset.METAINFO


@pytest.mark.parametrize('classes', [('lesion',), ('benign', 'lesion'), ('malignant', 'benign', 'other')])
def test_other_categories_than_the_files(tmp_path, classes):
    write_truth(tmp_path, categories=('benign', 'malignant'))
    with pytest.raises(
        ValueError, match=rf'val.json has the categories benign, malignant, .* {", ".join(classes)}: set'
    ):
        build(tmp_path, classes)


def test_categories_in_another_order_would_swap_names(tmp_path):
    write_truth(tmp_path, categories=('benign', 'malignant'))
    with pytest.raises(ValueError, match=r'benign, malignant, .*malignant, b'):
        build(tmp_path, ('malignant', 'benign'))
    data = build(tmp_path, ('benign', 'malignant'))
    assert [data.metainfo['classes'][label] for label in data.get_cat_ids(0)] == ['benign']  # category 1 of the file


def test_a_file_without_a_lesion_is_not_trained_on(tmp_path):
    write_truth(tmp_path)
    path = tmp_path / 'annotations' / 'val.json'
    content = json.loads(path.read_text()) | {'annotations': []}
    path.write_text(json.dumps(content))
    keep = dict(filter_cfg=dict(filter_empty_gt=False))
    with pytest.raises(ValueError, match=r'val.json .*lesion.*--min-area'):
        build(tmp_path, **keep)
    assert len(build(tmp_path, test_mode=True, **keep)) == len(IMAGES)
    path.write_text(json.dumps(content | {'images': []}))
    with pytest.raises(ValueError, match=r'val.json .*image'):
        build(tmp_path, test_mode=True)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'val.json .*lesions_to_coco.py'):
        build(tmp_path / 'none')
    (tmp_path / 'GT').mkdir()
    (tmp_path / 'original').mkdir()
    with pytest.raises(FileNotFoundError, match=r'GT, original\)'):
        build(tmp_path)


@pytest.mark.parametrize(
    'content, what',
    [
        ('{"images": [', r'COCO'),
        (json.dumps({'images': [], 'annotations': []}), r'COCO'),
        (json.dumps({'categories': [{'name': 'lesion'}], 'images': []}), r'COCO'),
        (json.dumps({'categories': 3, 'images': [], 'annotations': []}), r'COCO'),
        (json.dumps({'metainfo': {'dataset_type': 'VideoClusters'}, 'data_list': []}), r'video clusters'),
    ],
)  # fmt: skip
def test_another_file(tmp_path, content, what):
    write_truth(tmp_path)
    (tmp_path / 'annotations' / 'val.json').write_text(content)
    with pytest.raises(ValueError, match=what):
        build(tmp_path)


def test_no_other_image_takes_the_place_of_none(tmp_path):
    write_truth(tmp_path)
    data = build(tmp_path)
    data.pipeline = lambda info: None
    name = data.get_data_info(1)['img_path']
    with pytest.raises(ValueError, match=rf'{name}: '):
        data[1]


@pytest.mark.parametrize('content', [b'\xff\xfe{}', b'[' * 100_000])
def test_what_is_no_text_or_nests_too_deep_is_named(content, tmp_path):
    write_truth(tmp_path)
    (tmp_path / 'annotations' / 'val.json').write_bytes(content)
    with pytest.raises(ValueError, match=r'val.json'):
        build(tmp_path)


def spoil(folder, change):
    path = folder / 'annotations' / 'val.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def without_masks(content):
    for annotation in content['annotations']:
        annotation['segmentation'] = []


MASKS = dict(type='mmdet.LoadAnnotations', with_mask=True)


@pytest.mark.parametrize('test_mode', [True, False])
@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (lambda content: content['annotations'][2].update(bbox=[180, 130, 225, 170]), 'annotations[2], id 3'),
        (lambda content: content['annotations'][2].update(area=0), 'annotations[2], id 3'),
        (lambda content: content['images'][4].update(file_name='no.png'), 'no.png'),
        (lambda content: content['images'][4].update(width=200), 'e.png'),
        (without_masks, 'annotations[0], id 1'),
    ],
)
def test_faults_are_named_before_a_training(tmp_path, test_mode, change, named):
    write_truth(tmp_path)
    build(tmp_path, test_mode=test_mode, pipeline=[MASKS])
    spoil(tmp_path, change)
    with pytest.raises(ValueError, match=re.escape(named)):
        build(tmp_path, test_mode=test_mode, pipeline=[MASKS])


def test_boxes_alone_are_enough_where_no_mask_is_loaded(tmp_path):
    spoil(write_truth(tmp_path), without_masks)
    steps = dict(LoadAnnotations=dict(with_mask=False))
    assert len(build(tmp_path, pipeline=[MASKS], steps=steps)) == len(IMAGES)


def from_zero(content):
    for number, annotation in enumerate(content['annotations']):
        annotation['id'] = number
        del annotation['iscrowd'], annotation['area']


def test_what_is_repaired_is_said_and_loaded(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('uscl_plugin.detection.lesion_dataset.print_log', lambda line, logger: said.append(line))
    whole = build(write_truth(tmp_path / 'whole'))
    expected = [whole.get_data_info(k)['instances'] for k in range(6)]
    assert said == []
    spoil(write_truth(tmp_path / 'bare'), from_zero)
    bare = build(tmp_path / 'bare')
    assert [bare.get_data_info(k)['instances'] for k in range(6)] == expected
    assert len(said) == 3 and all('val.json: ' in line for line in said)
