from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from uscl.data.video_folder import VideoFolder
from uscl.options.evaluation_options import EvaluationOptions
from uscl.stats.predictions import Predictions
from uscl_plugin.datasets.pipeline_settings import set_input_size
from uscl_plugin.evaluation.backbones import load_backbone
from uscl_plugin.evaluation.classifier import load_classifier
from uscl_plugin.evaluation.finetuning import FoldOutcome, SelectionHook, finetune_fold, fold_config
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint


@pytest.mark.parametrize('protocol', ['finetune3', 'finetune', 'linear'])
def test_frozen_parameters_are_bit_equal_after_a_run(fold_cfg, tmp_path, protocol):
    outcome = finetune_fold(fold_cfg(protocol, epochs=2), tmp_path / 'run')
    start = load_plain_checkpoint(tmp_path / 'backbone.pth')['state_dict']
    end = load_plain_checkpoint(tmp_path / 'run' / 'model.pth')['state_dict']
    free = {'finetune3': 'backbone.layer4.1.', 'finetune': 'backbone.', 'linear': 'nothing'}[protocol]
    moving = 'running' if protocol != 'linear' else 'nothing'
    for name, tensor in start.items():
        if 'num_batches' not in name:
            same = torch.equal(tensor, end[name])
            assert same != (name.startswith(free) or moving in name), name
    assert [row['epoch'] for row in outcome.curve] == [1, 2]
    assert set(outcome.predictions) == {'best-on-test', 'last', 'inner-val'}
    assert outcome.chosen['last'] == 2
    model = load_plain_checkpoint(tmp_path / 'run' / 'model.pth')
    assert model['meta']['epoch'] == outcome.chosen['inner-val']
    assert sorted(path.name for path in (tmp_path / 'run').iterdir()) == ['config.py', 'model.pth']


def test_the_same_seed_gives_the_same_predictions(fold_cfg, tmp_path):
    runs = [
        finetune_fold(fold_cfg('finetune3', seed=seed), tmp_path / f'{k}').predictions['last'].probabilities
        for k, seed in enumerate((5, 5, 6))
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_the_kept_model_predicts_what_was_selected(fold_cfg, tmp_path, patients):
    outcome = finetune_fold(fold_cfg('finetune3', epochs=2), tmp_path / 'run')
    classifier = load_classifier(tmp_path / 'run' / 'model.pth')
    assert (classifier.classes, classifier.size) == (['a', 'b', 'c'], 32)
    wanted = outcome.predictions['inner-val']
    frames = [frame[..., ::-1] for frame in VideoFolder(patients).frames(wanted.paths)]
    np.testing.assert_allclose(classifier.run(classifier.resize(frames))[0], wanted.probabilities, atol=1e-5)


def test_without_inner_validation_the_last_epoch_is_kept(fold_cfg, tmp_path):
    (tmp_path / 'run' / 'run-1').mkdir(parents=True)  # of a process that was killed
    outcome = finetune_fold(fold_cfg('linear', val_fraction=0), tmp_path / 'run')
    assert set(outcome.predictions) == {'best-on-test', 'last'}
    assert sorted(path.name for path in (tmp_path / 'run').iterdir()) == ['config.py', 'model.pth']


def test_diverged_training_is_an_error(fold_cfg, tmp_path):
    cfg = fold_cfg('finetune')
    cfg.optim_wrapper.optimizer.lr = 1e30
    with pytest.raises(ValueError, match=r'first ./v.*#'):
        finetune_fold(cfg, tmp_path / 'run')


class FakeRunner:
    """What the selection hook needs: epoch, the metric's predictions, and a place to save."""

    def __init__(self):
        metric = type('Metric', (), {})()
        self.val_loop = type('Loop', (), {'evaluator': type('Evaluator', (), {'metrics': [metric]})()})()
        self.work_dir, self.epoch, self.iter, self.saved = 'x', 0, 0, []

    def save_checkpoint(self, *args, **kwargs):
        self.saved.append(self.epoch)


def scores(*right):
    """Predictions for three frames of class 0 that give it these probabilities."""
    names = np.array(['v'] * len(right))
    p = np.array(right)
    return Predictions(np.stack([p, 1 - p], axis=1), np.zeros(len(right), int), names, names, names)


def test_selections():
    """Accuracy decides, then cross-entropy, then time; the test part never decides but for best-on-test."""
    epochs = [  # val, test
        (scores(0.6, 0.2, 0.2), scores(0.9, 0.9, 0.1)),
        (scores(0.6, 0.6, 0.2), scores(0.1, 0.1, 0.1)),
        (scores(0.9, 0.9, 0.2), scores(0.6, 0.1, 0.1)),  # as accurate on val, with less cross-entropy
        (scores(0.9, 0.9, 0.2), scores(0.6, 0.6, 0.6)),  # the same on val, later
        (scores(0.1, 0.1, 0.1), scores(0.4, 0.6, 0.6)),
    ]
    outcome, runner = FoldOutcome(), FakeRunner()
    hook = SelectionHook(outcome)
    for number, (val, test) in enumerate(epochs, start=1):
        runner.epoch = number
        runner.val_loop.evaluator.metrics[0].predictions = {'val': val, 'test': test}
        hook.after_val_epoch(runner)
    hook.after_train(runner)
    assert outcome.chosen == {'last': 5, 'best-on-test': 4, 'inner-val': 3}
    assert outcome.predictions['inner-val'] is epochs[2][1]
    assert outcome.predictions['best-on-test'] is epochs[3][1]
    assert outcome.predictions['last'] is epochs[4][1]
    assert runner.saved == [1, 2, 3]
    assert [round(row['val'], 2) for row in outcome.curve] == [0.33, 0.67, 0.67, 0.67, 0]


def test_input_size_is_set_everywhere(root):
    cfg = Config.fromfile(root / 'configs' / 'pocus' / 'resnet18_1xb32-finetune3-100e_pocus-224px.py')
    set_input_size(cfg.train_dataloader.dataset, 96)
    assert [step.get('scale') for step in cfg.train_dataloader.dataset.pipeline] == [None, 96, None, None]
    set_input_size(cfg.test_dataloader.dataset, 80)
    assert [step.get('scale') for step in cfg.test_dataloader.dataset.pipeline] == [None, 80, None]


@pytest.mark.parametrize(('depth', 'block'), [(18, 'layer4.1'), (34, 'layer4.2'), (50, 'layer4.2')])
def test_the_last_block_is_trained_whatever_the_depth(root, depth, block):
    cfg = Config.fromfile(root / 'configs' / 'pocus' / 'resnet18_1xb32-finetune3-100e_pocus-224px.py')
    data = dict(fold_file='f', fold=0, classes=['a', 'b'])
    sides = {'train': True, 'val': True, 'test': True}
    options = EvaluationOptions(checkpoints=[], data='x', out='', protocol='finetune3', batch_norm='frozen')
    made = fold_config(cfg, data, sides, load_backbone(f'random{depth}'), Path('x'), 0, options)
    freezing = made.default_hooks.freezing
    assert (freezing.trainable, freezing.batch_norm) == ([f'backbone.{block}', 'head'], 'frozen')
