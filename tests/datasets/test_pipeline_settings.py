"""Steps of a pipeline by their types: what is changed, what is refused, and what the config then says."""

import copy

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from uscl_plugin.datasets.frame_set import dataset_config
from uscl_plugin.datasets.pipeline_settings import (
    apply_steps,
    color_type,
    dataset_pipeline,
    input_size,
    set_input_size,
    settle_steps,
)

CROP = dict(type='CenterCrop', crop_size=224)
FLIP = dict(type='mmengine.RandomFlip', prob=0.5)
PACK = dict(type='PackInputs', meta_keys=('a',))


def broadcast(*steps):
    return dict(type='TransformBroadcaster', mapping=dict(img='img'), transforms=list(steps))


def views(*pipelines):
    return dict(type='MultiView', num_views=[1] * len(pipelines), transforms=list(pipelines))


def test_steps_are_changed_in_any_wrapper_and_everywhere():
    pipeline = [CROP, broadcast(CROP, views([CROP], [CROP, FLIP])), PACK]
    before = copy.deepcopy(pipeline)
    found = apply_steps(pipeline, dict(CenterCrop=dict(crop_size=32), RandomFlip=dict(prob=1.0)))
    small, flip = CROP | {'crop_size': 32}, FLIP | {'prob': 1.0}
    assert found == [small, broadcast(small, views([small], [small, flip])), PACK]
    assert pipeline == before


def test_arguments_are_added_and_wrappers_have_theirs():
    found = apply_steps([broadcast(CROP)], dict(TransformBroadcaster=dict(auto_remap=True), CenterCrop=dict(pad=1)))
    assert found == [broadcast(CROP | {'pad': 1}) | {'auto_remap': True}]


@pytest.mark.parametrize('order', [1, -1])
def test_the_order_of_the_types_changes_nothing(order):
    changes = [('TransformBroadcaster', dict(transforms=[CROP])), ('CenterCrop', dict(crop_size=32))]
    found = apply_steps([broadcast(FLIP)], dict(changes[::order]))
    assert found == [broadcast(CROP | {'crop_size': 32})]


def test_without_changes_the_pipeline_is_passed_on_with_what_is_no_config():
    pipeline = [len, CROP]
    assert apply_steps(pipeline, None) is apply_steps(pipeline, {}) is pipeline
    assert apply_steps(pipeline, dict(CenterCrop=dict(crop_size=1))) == [len, CROP | {'crop_size': 1}]


@pytest.mark.parametrize(
    ('steps', 'message'),
    [
        (
            dict(Crop=dict(x=1)),
            r'steps names Crop, which the pipeline does not have: it has TransformBro',
        ),
        (dict(Crop=dict(), Grey=dict()), r'steps .*Crop, Grey, .*RandomFlip, PackInputs\.'),
        (dict(CenterCrop=32), r'^steps '),
        ([dict(type='CenterCrop')], r'^steps '),
    ],
)
def test_what_changes_nothing_is_refused(steps, message):
    with pytest.raises(ValueError, match=message):
        apply_steps([broadcast(CROP, FLIP), PACK], steps)
    with pytest.raises(ValueError, match='no steps'):
        apply_steps([], dict(Crop=dict(x=1)))


def test_settings_are_those_of_the_changed_steps():
    loads = dict(type='LoadVideoFrames', color_type='color')
    dataset = dict(pipeline=[loads, broadcast(CROP)], steps=dict(CenterCrop=dict(crop_size=64)))
    assert (input_size(dataset), color_type(dataset)) == (64, 'color')
    dataset['steps'] |= dict(LoadVideoFrames=dict(color_type='grayscale'))
    assert color_type(dataset) == 'grayscale'
    set_input_size(dataset, 96)
    assert input_size(dataset) == 96 and 'steps' not in dataset
    assert color_type(dataset) == 'grayscale' and CROP['crop_size'] == 224


def test_the_size_is_that_of_the_last_step_that_has_one():
    resize, crop = dict(type='Resize', scale=(224, 200)), dict(type='RandomResizedCrop', scale=96)
    flip = dict(type='RandomFlip', scale=3)
    assert input_size(dict(pipeline=[resize, broadcast(crop, flip)])) == 96
    assert input_size(dict(pipeline=[crop, resize])) == 224
    with pytest.raises(ValueError, match='size'):
        input_size(dict(pipeline=[PACK]))
    for pipeline in ([broadcast(CROP, flip)], [views([CROP, flip], [broadcast(CROP)])]):
        dataset = dict(pipeline=pipeline)
        set_input_size(dataset, 64)
        assert dataset['pipeline'] == apply_steps(pipeline, dict(CenterCrop=dict(crop_size=64)))


def test_settled_steps_are_of_one_data_set_alone():
    pipeline = [CROP]
    first, second = dict(pipeline=pipeline), dict(pipeline=pipeline, steps=dict(CenterCrop=dict(crop_size=1)))
    settle_steps(first)[0]['crop_size'] = 5
    assert settle_steps(second) == [CROP | {'crop_size': 1}] and first['pipeline'] == [CROP | {'crop_size': 5}]


@pytest.fixture
def cfg(root, clusters):
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(root / 'configs' / 'uscl' / 'uscl_resnet18_demo.py')
    cfg.train_dataloader.dataset.data_root = str(clusters)
    return cfg


def test_a_config_a_child_and_a_command_line_add_up(cfg, tmp_path):
    (tmp_path / 'child.py').write_text(
        f"_base_ = '{cfg.filename}'\ntrain_dataloader = dict(dataset=dict(steps=dict(MixFrames=dict(alpha=1.0))))\n"
    )
    child = Config.fromfile(tmp_path / 'child.py')
    child.merge_from_dict({'train_dataloader.dataset.steps.MixFrames.beta': 2.0})
    dataset = child.train_dataloader.dataset
    assert dataset.steps == dict(AntialiasedRandomResizedCrop=dict(scale=64), MixFrames=dict(alpha=1.0, beta=2.0))
    steps = {step.type: step for step in dataset_pipeline(dataset)}
    assert (steps['MixFrames'].alpha, steps['MixFrames'].beta, steps['MixFrames'].shared_ratio) == (1.0, 2.0, False)
    child.dump(tmp_path / 'dumped.py')
    again = Config.fromfile(tmp_path / 'dumped.py').train_dataloader.dataset
    assert dataset_pipeline(again) == dataset_pipeline(dataset)


def test_samples_are_those_of_a_pipeline_that_is_written_out(cfg, clusters):
    by_name = cfg.train_dataloader.dataset | dict(data_root=str(clusters))
    written = copy.deepcopy(by_name)
    settle_steps(written)
    one, other = (DATASETS.build(dataset)[2] for dataset in (by_name, written))
    assert one['inputs'][0].shape == (3, 64, 64)
    for view, same in zip(one['inputs'], other['inputs'], strict=True):
        np.testing.assert_array_equal(view, same)


def test_unknown_steps_stop_the_data_set(cfg):
    dataset = cfg.train_dataloader.dataset
    dataset.steps.Rotat = dict(prob=0.0)
    with pytest.raises(ValueError, match=r'steps .*Rotat, .*SampleVideoFrames, .*, Rotate, ColorJ'):
        DATASETS.build(dataset)


def test_another_pipeline_has_no_steps_of_the_configs(cfg):
    assert 'steps' not in dataset_config(cfg, pipeline=[])
    assert dataset_config(cfg)['steps'] == cfg.train_dataloader.dataset.steps
