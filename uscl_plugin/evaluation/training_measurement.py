"""Measure the clips that a classifier was trained on, and those held out, for its file."""

from itertools import groupby
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from uscl.stats.training_features import TrainingFeatures, summarise_training

from .classifier import FrameClassifier, load_classifier


def measure_training(model: str | Path, cfg: Config) -> TrainingFeatures:
    """Features of the training clips of a config, and of those of its validation data.

    Args:
        model: The classifier.
        cfg: A config of ``configs/pocus``, whose validation data, if there are any, are of other patients.
    """
    classifier = load_classifier(model)
    train, labels = _clip_means(classifier, cfg.train_dataloader.dataset)
    held_out = train[:0] if cfg.val_dataloader is None else _clip_means(classifier, cfg.val_dataloader.dataset)[0]
    return summarise_training(train, labels, held_out)


def _clip_means(classifier: FrameClassifier, dataset: dict) -> tuple[np.ndarray, list[int]]:
    """Mean features (V, D) of the clips of a dataset, and their labels."""
    settings = {key: value for key, value in dataset.items() if key != 'steps'}
    frames = DATASETS.build(settings | {'pipeline': [dict(type='LoadFrame')], 'test_mode': True})
    videos = groupby(range(len(frames)), key=lambda k: frames.get_data_info(k)['video_id'])
    means, labels = [], []
    for _, indices in videos:
        clip = [frames[k] for k in indices]
        _, features = classifier.run(classifier.resize([frame['img'][..., ::-1] for frame in clip]))
        means.append(features.mean(axis=0))
        labels.append(clip[0]['gt_label'])
    return np.stack(means), labels
