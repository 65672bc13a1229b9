from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from lesion_truth import moved, write_truth
from pycocotools.coco import COCO

import uscl_plugin.compat.mmcv_ops  # noqa: F401
from uscl.stats.detection_quality import agreement, best_and_worst, image_qualities
from uscl.stats.detections import Detections


def detections(folder, make, has_masks=True):
    path = write_truth(folder) / 'annotations' / 'val.json'
    truth = COCO(str(path))
    return Detections(truth, list(truth.imgs), make(truth), has_masks, folder / 'images', path)


@pytest.mark.parametrize('lesions', range(4))
@pytest.mark.parametrize('predictions', range(5))
def test_agreement_by_trying_every_pairing(lesions, predictions):
    for seed in range(5):
        ious = np.random.default_rng(seed).random((lesions, predictions)) ** 3
        small = ious if lesions <= predictions else ious.T
        best = max(
            sum(small[row, column] for row, column in enumerate(order))
            for order in permutations(range(small.shape[1]), small.shape[0])
        )
        expected = 2 * best / (lesions + predictions) if lesions + predictions else 1
        assert agreement(ious) == pytest.approx(expected)


@pytest.mark.parametrize('hits, lesions, predictions', [(0, 1, 0), (0, 0, 2), (1, 1, 1), (2, 3, 4), (1, 2, 1)])
def test_with_clear_cut_ious_it_is_the_f1_score(hits, lesions, predictions):
    ious = np.zeros((lesions, predictions))
    ious[range(hits), range(hits)] = 1
    precision, recall = hits / max(predictions, 1), hits / max(lesions, 1)
    assert agreement(ious) == pytest.approx(2 * precision * recall / max(precision + recall, 1e-9))


@pytest.mark.parametrize('has_masks', [True, False])
def test_images_are_judged_by_predictions_above_the_score(tmp_path, has_masks):
    def make(truth):
        exact = [dict(a, score=0.6) for a in truth.anns.values()]
        return [*exact, dict(exact[0], image_id=3, score=0.4), dict(exact[0], score=0.2)]

    found = detections(tmp_path, make, has_masks)
    for score, expected in [(0.5, [1, 1, 1, 1, 1, 1]), (0.3, [1, 1, 0, 1, 1, 1]), (0.1, [2 / 3, 1, 0, 1, 1, 1])]:
        assert [entry.quality for entry in image_qualities(found, score)] == pytest.approx(expected)
    assert [entry.quality for entry in image_qualities(found, 0.7)] == [0, 0, 1, 0, 1, 0]


def test_masks_and_boxes_are_compared_as_such(tmp_path):
    def frame(truth):  # the right box, around another mask
        (first, *_) = truth.anns.values()
        mask = truth.annToMask(first)
        mask[55:65] = 0
        from lesion_truth import encode

        return [dict(first, score=1.0, segmentation=encode(mask))]

    masks = image_qualities(detections(tmp_path, frame), 0.5)[0].quality
    boxes = image_qualities(detections(tmp_path, frame, False), 0.5)[0].quality
    assert boxes == pytest.approx(1) and 0.6 < masks < 0.95


@pytest.mark.parametrize('num', [1, 2, 3, 4, 6, 12])
def test_best_and_worst(tmp_path, num):
    found = detections(tmp_path, lambda truth: moved(truth, 1))
    qualities = image_qualities(found, 0.1)
    best, worst = best_and_worst(qualities, num)
    assert len(best) == min(num // 2, 3) and len(worst) == min(num - num // 2, 6 - len(best))
    assert not {e.image['id'] for e in best} & {e.image['id'] for e in worst}
    assert all(entry.lesions for entry in best)
    assert [e.quality for e in best] == sorted((e.quality for e in qualities if e.lesions), reverse=True)[: len(best)]
    assert [e.quality for e in worst] == sorted(e.quality for e in worst)
    rest = [e.quality for e in qualities if e not in best and e not in worst]
    assert not rest or worst[-1].quality <= min(rest)
    assert Path(found.ann_file).is_file()


def test_of_equals_the_most_confident_is_shown(tmp_path):
    def make(truth):
        (first, *_) = truth.anns.values()
        return [dict(first, image_id=image_id, score=score) for image_id, score in [(3, 0.4), (5, 0.8)]]

    _, worst = best_and_worst(image_qualities(detections(tmp_path, make), 0.3), 2)
    assert worst[0].image['file_name'] == 'e.png'
