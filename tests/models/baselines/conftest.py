"""Tiny networks, batches and runs of the baselines."""

import time

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

import uscl_plugin  # noqa: F401

SIZE = 32


def model_config(name, num_classes=3, **settings):
    return dict(
        type=name,
        backbone=dict(type='ResNet', depth=18, stem_channels=16, base_channels=16, out_indices=(3,)),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=num_classes, in_channels=128),
        data_preprocessor=dict(mean=[127.5] * 3, std=[63.75] * 3, to_rgb=True),
        **settings,
    )


@pytest.fixture
def build():
    """A function that builds a tiny model."""

    def make(name, **settings):
        torch.manual_seed(0)
        # Whatever host's tests ran before in this process.
        return MODELS.build(model_config(name, **settings) | dict(_scope_='mmpretrain'))

    return make


@pytest.fixture
def on_logits(build):
    """A function that builds a model whose inputs are the logits of its views."""

    def make(name, **settings):
        model = build(name, **settings)
        model.classify = lambda views: tuple(views)
        return model

    return make


@pytest.fixture
def samples():
    """A function that makes data samples of labels (None: no label at all) and indices."""

    def make(labels, indices=None):
        made = []
        for label, index in zip(labels, indices or range(len(labels)), strict=True):
            sample = DataSample(metainfo=dict(sample_idx=index))
            made.append(sample if label is None else sample.set_gt_label(label))
        return made

    return make


@pytest.fixture
def run_baseline(clusters, tmp_path):
    """A function that makes the config of a tiny run on the 33 frames of `clusters`, four of them unlabelled."""

    def make(name, view_transforms, epochs=2, workers=0, run='run', **options):
        views = [dict(type='MultiView', num_views=[1] * len(view_transforms), transforms=view_transforms)]
        load = [dict(type='LoadFrame'), dict(type='Resize', scale=(SIZE, SIZE))]
        pack = [dict(type='PackInputs')]
        data = dict(type='VideoFrameDataset', data_root=str(clusters), keep_unlabelled=True)

        def loader(pipeline, **settings):
            return dict(
                batch_size=9,
                num_workers=workers,
                collate_fn=dict(type='default_collate'),
                dataset=dict(**data, pipeline=pipeline, **settings),
                sampler=dict(type='DefaultSampler', shuffle='test_mode' not in settings),
            )

        return Config(
            dict(
                default_scope='mmpretrain',
                model=model_config(name, num_classes=2),
                train_dataloader=loader([*load, *(views if view_transforms else []), *pack]),
                val_dataloader=loader([*load, *pack], test_mode=True, filter_cfg=dict(labels=['a', 'b'])),
                val_evaluator=dict(type='Accuracy'),
                train_cfg=dict(by_epoch=True, max_epochs=epochs),
                val_cfg=dict(),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
                default_hooks=dict(
                    checkpoint=dict(type='CheckpointHook', interval=1), logger=dict(type='LoggerHook', interval=1)
                ),
                custom_hooks=[dict(type='SampleSeedHook'), dict(type='PlainCheckpointHook')]
                + ([] if name == 'FixMatch' else [dict(type='TrainingSetHook')]),
                randomness=dict(seed=0),
                visualizer=dict(type='UniversalVisualizer', vis_backends=[]),
                work_dir=str(tmp_path / run),
                experiment_name=f'{tmp_path.name}-{run}-{time.monotonic_ns()}',
                **options,
            )
        )

    return make
