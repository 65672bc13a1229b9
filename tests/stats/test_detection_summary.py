"""Of uscl/stats/detection_summary.py."""

import json
from pathlib import Path

import pytest
from lesion_truth import moved, write_truth
from pycocotools.coco import COCO

import uscl_plugin.compat.mmcv_ops  # noqa: F401
from uscl.stats.detection_scores import evaluate
from uscl.stats.detection_summary import summarise_detections
from uscl.stats.detections import Detections


@pytest.fixture(scope='module')
def truth(tmp_path_factory):
    return COCO(str(write_truth(tmp_path_factory.mktemp('truth')) / 'annotations' / 'val.json'))


def summarise(truth, results, score=0.3, has_masks=True, image_ids=None):
    ids = list(truth.imgs) if image_ids is None else image_ids
    return summarise_detections(Detections(truth, ids, results, has_masks, Path(), Path('val.json')), score)


def test_golden_numbers(truth):
    lesions = list(truth.anns.values())  # of the images 1, 2, 2, 4, 6
    results = [dict(lesions[k], score=score) for k, score in [(0, 0.9), (1, 0.8), (3, 0.2), (4, 0.7)]]
    results += [
        dict(lesions[0], image_id=image_id, score=s) for image_id, s in [(3, 0.6), (3, 0.4), (5, 0.1), (2, 0.5)]
    ]
    summary = summarise(truth, results)
    assert summary['data'] == {
        'annotation_file': 'val.json',
        'images': 6,
        'patients': 4,
        'lesions': 5,
        'lesions_by_size': {'small': 2, 'medium': 2, 'large': 1},
        'images_by_label': {'benign': 2, 'malignant': 2, 'normal': 2},
        'images_without_lesion': 2,
    }
    for kind in ('box', 'mask'):
        found = summary[kind]
        assert (found['hits'], found['sensitivity'], found['false_positives_per_image']) == (3, 0.6, 0.5)
        assert found['negatives'] == {
            'images': 2, 'false_positives': 2, 'false_positives_per_image': 1.0, 'images_with_false_positives': 1,
        }  # fmt: skip
        labels = found['by_label']
        assert {name: labels[name]['hits'] for name in labels} == {'benign': 1, 'malignant': 2, 'normal': 0}
        assert labels['benign']['sensitivity'] == 0.5
        assert labels['malignant']['sensitivity'] == pytest.approx(2 / 3)
        assert labels['malignant']['AP50'] == pytest.approx(67 / 101)  # recalls 0 to 0.66, precision 1
        assert labels['benign']['AP'] == pytest.approx(1)  # AP asks for no score
        assert (labels['normal']['AP'], labels['normal']['sensitivity']) == (None, None)
        assert labels['normal']['false_positives_per_image'] == 1.0
        # By falling score: 3 hits, then false positives at 0.6, 0.5 and 0.4, a hit at 0.2, a false positive at 0.1.
        at = {entry['false_positives_per_image']: entry['sensitivity'] for entry in found['froc']}
        assert at == {0.125: 0.6, 0.25: 0.6, 0.5: 0.8, 1: 0.8, 2: 0.8}
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize('seed', range(4))
def test_pycocotools_own_summary(truth, seed, capsys):
    results = moved(truth, seed, spread=5)
    summary = summarise(truth, results)
    for name, kind in (('box', 'bbox'), ('mask', 'segm')):
        evaluation = evaluate(truth, results, kind)
        evaluation.summarize()
        names = ('AP', 'AP50', 'AP75', 'AP_small', 'AP_medium', 'AP_large')
        assert [summary[name][key] for key in names] == pytest.approx(evaluation.stats[:6])


def test_without_masks_labels_lesions_or_patients(truth):
    summary = summarise(truth, moved(truth, 0), has_masks=False, image_ids=[3, 5])
    assert 'mask' not in summary
    assert summary['data']['lesions'] == 0 and summary['box']['froc'] == []
    assert summary['box']['AP'] is None and summary['box']['sensitivity'] is None
    plain = COCO()
    plain.dataset = {
        **truth.dataset,
        'images': [{k: v for k, v in i.items() if k not in ('label', 'patient_id')} for i in truth.dataset['images']],
    }
    plain.createIndex()
    summary = summarise(plain, moved(truth, 0))
    assert summary['box']['by_label'] == {} and summary['data']['patients'] is None
    json.dumps(summary, allow_nan=False)
