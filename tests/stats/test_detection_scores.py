import numpy as np
import pytest
from lesion_truth import moved, write_truth
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

import uscl_plugin.compat.mmcv_ops  # noqa: F401
from uscl.stats.detection_scores import Matches, average_precision, evaluate, lesions_by_size, precision_curve

THRESHOLDS = np.arange(50, 100, 5) / 100


@pytest.fixture(scope='module')
def truth(tmp_path_factory):
    return COCO(str(write_truth(tmp_path_factory.mktemp('truth')) / 'annotations' / 'val.json'))


def iou(truth, lesion, result, kind):
    """Intersection over union, counted pixel by pixel or from the corners."""
    if kind == 'segm':
        a, b = truth.annToMask(lesion) > 0, coco_mask.decode(result['segmentation']) > 0
        return (a & b).sum() / (a | b).sum()
    (x, y, w, h), (u, v, s, t) = lesion['bbox'], result['bbox']
    shared = max(min(x + w, u + s) - max(x, u), 0) * max(min(y + h, v + t) - max(y, v), 0)
    return shared / (w * h + s * t - shared)


def reference_matching(truth, results, kind, threshold, image_ids):
    """(score, hit, image) by falling score, and the number of lesions: each prediction takes the best free lesion."""
    entries, lesions = [], 0
    for image_id in sorted(image_ids):
        free = list(truth.imgToAnns[image_id])
        lesions += len(free)
        for result in sorted((r for r in results if r['image_id'] == image_id), key=lambda r: -r['score']):
            best = max(free, key=lambda lesion: iou(truth, lesion, result, kind), default=None)
            hit = best is not None and iou(truth, best, result, kind) >= threshold
            if hit:
                free.remove(best)
            entries.append((result['score'], hit, image_id))
    return sorted(entries, key=lambda entry: -entry[0]), lesions


def reference_ap(entries, lesions):
    """Mean over recalls 0, 0.01, …, 1 of the highest precision at that recall or beyond."""
    hits = np.cumsum([hit for _, hit, _ in entries])
    points = [(hit / lesions, hit / number) for number, hit in enumerate(hits, start=1)]
    return np.mean([max((p for r, p in points if r >= k / 100 - 1e-9), default=0) for k in range(101)])


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('image_ids', [None, [1, 4], [2, 3, 6]])
def test_against_a_slow_reference(truth, kind, seed, image_ids):
    results = moved(truth, seed, spread=3 + 3 * seed)
    ids = image_ids or list(truth.imgs)
    evaluation = evaluate(truth, results, kind, image_ids)
    expected = []
    for threshold in THRESHOLDS:
        entries, lesions = reference_matching(truth, results, kind, threshold, ids)
        expected.append(reference_ap(entries, lesions))
        assert average_precision(evaluation, threshold) == pytest.approx(expected[-1], abs=1e-6)
        matches = Matches.of(evaluation, threshold)
        assert sorted(zip(matches.scores, matches.hits, matches.image_ids, strict=True)) == sorted(entries)
        assert (matches.num_lesions, matches.num_images) == (lesions, len(ids))
        for score in (0.05, 0.5, 0.95):
            assert matches.num_hits(score) == sum(hit for s, hit, _ in entries if s >= score)
            for chosen in (None, [3, 5], []):
                wrong = [i for s, hit, i in entries if s >= score and not hit and (chosen is None or i in chosen)]
                assert sorted(matches.false_positives(score, chosen)) == sorted(wrong)
    assert average_precision(evaluation) == pytest.approx(np.mean(expected), abs=1e-6)
    recall, precision = precision_curve(evaluation)
    assert recall.tolist() == pytest.approx(np.arange(101) / 100)
    assert precision.mean() == pytest.approx(expected[0], abs=1e-6)


@pytest.mark.parametrize('seed', range(4))
def test_froc_by_counting_at_every_score(truth, seed):
    results = moved(truth, seed)
    entries, lesions = reference_matching(truth, results, 'segm', 0.5, truth.imgs)
    false, sensitivity = Matches.of(evaluate(truth, results, 'segm')).froc()
    expected = [(0, 0)]
    for score in sorted({s for s, _, _ in entries}, reverse=True):
        kept = [hit for s, hit, _ in entries if s >= score]
        expected.append(((len(kept) - sum(kept)) / len(truth.imgs), sum(kept) / lesions))
    np.testing.assert_allclose(np.stack([false, sensitivity], axis=1), expected)


def test_sizes_are_coco_s(truth):
    # Half axes: 40 x 30, 20 x 12, 25 x 20, 70 x 50, 9 x 8; areas are about π a b.
    evaluation = evaluate(truth, [], 'segm')
    assert lesions_by_size(evaluation) == {'small': 2, 'medium': 2, 'large': 1}
    assert lesions_by_size(evaluate(truth, [], 'segm', [1, 3])) == {'small': 0, 'medium': 1, 'large': 0}
    perfect = [dict(a, score=1.0) for a in truth.anns.values() if a['area'] > 96**2]
    found = evaluate(truth, perfect, 'segm')
    assert [average_precision(found, area=size) for size in ('small', 'medium', 'large')] == [0, 0, pytest.approx(1)]


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_no_predictions_are_zero_and_no_lesions_undefined(truth, kind):
    assert average_precision(evaluate(truth, [], kind)) == 0
    empty = evaluate(truth, moved(truth, 0, extra=3), kind, [3, 5])
    assert average_precision(empty) is None and precision_curve(empty) is None
    matches = Matches.of(empty)
    assert matches.num_lesions == 0 and len(matches.scores) > 0 and not matches.hits.any()
    assert np.isnan(matches.froc()[1]).all()
    assert average_precision(evaluate(truth, [], kind, [1]), area='small') is None
    assert [part.tolist() for part in Matches.of(evaluate(truth, [], kind)).froc()] == [[0], [0]]
