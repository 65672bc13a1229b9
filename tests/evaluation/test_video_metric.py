import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score

from uscl_plugin.evaluation.video_metric import VideoClassificationMetric


def samples(rng, videos=8, classes=3, split=None):
    for v in range(videos):
        for k in range(int(rng.integers(1, 5))):
            yield {
                'pred_score': torch.tensor(rng.dirichlet(np.ones(classes)), dtype=torch.float32),
                'gt_label': torch.tensor([v % classes]),
                'video_id': f'{split}v{v}',
                'patient_id': f'p{v}' if v else None,
                'frame': f'{split}{v}/{k}.png',
                'split': split,
            }


@pytest.mark.parametrize('seed', range(4))
def test_agrees_with_scikit_learn_by_frame_and_by_video(seed):
    metric = VideoClassificationMetric()
    rows = list(samples(np.random.default_rng(seed)))
    for start in range(0, len(rows), 3):
        metric.process({}, rows[start : start + 3])
    found = metric.evaluate(len(rows))
    scores = np.stack([row['pred_score'].double().numpy() for row in rows])
    labels = np.array([int(row['gt_label']) for row in rows])
    videos = np.array([row['video_id'] for row in rows])
    of_videos = np.stack([scores[videos == v].mean(axis=0) for v in dict.fromkeys(videos)])
    video_labels = np.array([labels[videos == v][0] for v in dict.fromkeys(videos)])
    for level, p, y in (('frame', scores, labels), ('video', of_videos, video_labels)):
        assert found[f'{level}/accuracy'] == pytest.approx(accuracy_score(y, p.argmax(axis=1)))
        assert found[f'{level}/balanced_accuracy'] == pytest.approx(balanced_accuracy_score(y, p.argmax(axis=1)))
        assert found[f'{level}/macro_f1'] == pytest.approx(f1_score(y, p.argmax(axis=1), average='macro'))
        auroc = np.mean([roc_auc_score(y == c, p[:, c]) for c in range(3)])
        assert found[f'{level}/macro_auroc'] == pytest.approx(auroc)


def test_sides_are_told_apart():
    metric = VideoClassificationMetric()
    rng = np.random.default_rng(0)
    rows = [*samples(rng, split='val'), *samples(rng, split='test')]
    metric.process({}, rows)
    found = metric.evaluate(len(rows))
    assert {name.split('/')[0] for name in found} == {'val', 'test'}
    assert set(metric.predictions) == {'val', 'test'}
    assert list(metric.predictions['test'].paths) == [row['frame'] for row in rows if row['split'] == 'test']
    assert metric.predictions['val'].groups[0] == 'video:valv0'  # no patient


def test_samples_of_another_data_set_are_an_error():
    with pytest.raises(ValueError, match='video_id, patient_id, frame and split in the meta_keys of PackInputs'):
        VideoClassificationMetric().process({}, [{'pred_score': torch.ones(3), 'gt_label': torch.tensor([0])}])
