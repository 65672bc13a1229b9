"""Runs that the hook refuses before their first step."""

import pytest
from mmengine.runner import Runner


def without_labels(cfg):
    cfg.train_dataloader.dataset.label_fraction = 0.0


def repeated(cfg):
    inner = cfg.train_dataloader.dataset.to_dict()
    cfg.train_dataloader['dataset'] = dict(type='RepeatDataset', times=2, dataset=inner)


def by_iterations(cfg):
    cfg['train_cfg'] = dict(by_epoch=False, max_iters=2)


def of_another_model(cfg):
    cfg.model.update(type='ImageClassifier', data_preprocessor=dict(mean=[0] * 3, std=[1] * 3))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (without_labels, r'33 training samples'),
        (repeated, r'sample 33 of RepeatDataset .*sample_idx 0'),
        (by_iterations, r'by_epoch=True'),
        (of_another_model, 'TrainingSetHook .*ImageClassifier'),
    ],
)
def test_what_would_go_wrong_later_is_refused_now(run_baseline, change, message):
    cfg = run_baseline('TemporalEnsembling', [])
    change(cfg)
    with pytest.raises(ValueError, match=message):
        Runner.from_cfg(cfg).train()
