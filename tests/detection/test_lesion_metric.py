import json

import numpy as np
import pytest
import torch
from lesion_truth import moved, write_truth
from pycocotools.coco import COCO

import uscl_plugin.compat.mmcv_ops  # noqa: F401
from uscl_plugin.detection.lesion_metric import LesionCocoMetric


def evaluate(metric, truth, results, meta):
    """Hand predictions (COCO's results) to a metric as a model would."""
    metric.dataset_meta = meta
    for image_id, image in truth.imgs.items():
        own = [result for result in results if result['image_id'] == image_id]
        corners = np.array([result['bbox'] for result in own]).reshape(-1, 4) @ np.eye(4)
        corners[:, 2:] += corners[:, :2]
        masks = [truth.annToMask(dict(result)) for result in own]
        found = dict(
            bboxes=torch.tensor(corners),
            scores=torch.tensor([result['score'] for result in own]),
            labels=torch.zeros(len(own), dtype=torch.long),
            masks=torch.tensor(np.array(masks).reshape(-1, image['height'], image['width']), dtype=torch.bool),
        )
        sample = dict(img_id=image_id, ori_shape=(image['height'], image['width']), pred_instances=found)
        metric.process({}, [sample])
    return metric.evaluate(len(truth.imgs))


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    path = write_truth(tmp_path_factory.mktemp('truth')) / 'annotations' / 'val.json'
    return COCO(str(path)), {'classes': ('lesion',), 'ann_file': str(path)}


def perfect(truth):
    return [dict(a, score=0.9) for a in truth.anns.values()]


@pytest.mark.parametrize('measure', ['bbox_mAP', 'bbox_mAP_75', 'segm_mAP', 'segm_mAP_75'])
def test_perfect_predictions_have_ap_one_and_wrong_ones_zero(data, measure):
    truth, meta = data
    found = evaluate(LesionCocoMetric(metric=['bbox', 'segm']), truth, perfect(truth), meta)
    assert found[f'coco/{measure}'] == pytest.approx(1, abs=1e-3)
    elsewhere = [dict(result, image_id=3) for result in perfect(truth)]  # an image without a lesion
    found = evaluate(LesionCocoMetric(metric=['bbox', 'segm']), truth, elsewhere, meta)
    assert found[f'coco/{measure}'] == 0


@pytest.mark.parametrize('seed', range(3))
def test_it_is_mmdetections_metric_with_the_file_of_the_data_set(data, seed):
    from mmdet.evaluation import CocoMetric

    truth, meta = data
    results = moved(truth, seed, spread=5)
    ours = evaluate(LesionCocoMetric(metric=['bbox', 'segm']), truth, results, meta)
    theirs = CocoMetric(ann_file=meta['ann_file'], metric=['bbox', 'segm'])
    assert ours == evaluate(theirs, truth, results, {'classes': ('lesion',)})
    assert 0 < ours['coco/bbox_mAP'] < 1


def test_a_file_that_a_config_names_goes_first(data, tmp_path):
    truth, meta = data
    other = str(write_truth(tmp_path) / 'annotations' / 'val.json')
    metric = LesionCocoMetric(ann_file=meta['ann_file'], metric='bbox')
    before = metric._coco_api
    evaluate(metric, truth, perfect(truth), meta | {'ann_file': other})
    assert metric._coco_api is before


def test_a_detector_that_finds_nothing_has_ap_zero(data):
    truth, meta = data
    found = evaluate(LesionCocoMetric(metric=['bbox', 'segm']), truth, [], meta)
    measures = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
    assert found == {f'coco/{kind}_{name}': 0 for kind in ('bbox', 'segm') for name in measures}


@pytest.mark.parametrize('own_file', [True, False])
def test_perfect_predictions_have_ap_one_where_ids_start_at_0(tmp_path, own_file):
    path = write_truth(tmp_path) / 'annotations' / 'val.json'
    content = json.loads(path.read_text())
    for number, annotation in enumerate(content['annotations']):
        annotation['id'] = number
    path.write_text(json.dumps(content))
    truth = COCO(str(path))
    files = {'ann_file': str(path)}
    metric = LesionCocoMetric(metric=['bbox', 'segm'], **(files if own_file else {}))
    found = evaluate(metric, truth, perfect(truth), {'classes': ('lesion',)} | ({} if own_file else files))
    assert found['coco/bbox_mAP'] == found['coco/segm_mAP'] == 1
