"""What can be written for a method on the command line."""

import pytest
from mmengine.config import Config

from uscl.options.pretraining_options import METHODS
from uscl_plugin.comparison.methods import BUILT_IN, parse_method, parse_methods


@pytest.mark.parametrize('name', BUILT_IN)
def test_built_in_methods_have_configs_that_take_their_switches(name):
    method = parse_method(name)
    assert method.name == name and method.weights is None
    cfg = Config.fromfile(method.config)
    before = cfg.to_dict()
    for key in method.options:  # a misspelt switch does nothing
        *parents, name = key.split('.')
        if 'steps' in parents:
            steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
            assert name in steps[parents[-1]]
        elif name != 'samples_per_video':  # a default of the dataset
            value = before
            for part in [*parents, name]:
                value = value[part]
    cfg.merge_from_dict(method.options)
    assert (cfg.to_dict() != before) == bool(method.options)


def test_options_offer_every_method():
    assert set(METHODS) == set(BUILT_IN)


def test_vanilla_of_the_ablation_is_simclr():
    def facts(name):
        method = parse_method(name)
        cfg = Config.fromfile(method.config)
        cfg.merge_from_dict(method.options)
        return cfg.model, cfg.train_dataloader, cfg.optim_wrapper

    assert facts('vanilla') == facts('simclr') != facts('one-pair')


def test_names_options_and_files(tmp_path):
    weights, config = tmp_path / 'epoch_9.pth', tmp_path / 'mine.py'
    weights.touch()
    config.touch()
    assert parse_method('random').weights == 'random'
    assert parse_method('fresh=random').name == 'fresh'
    assert parse_method(f'ours={weights}').weights == str(weights)
    assert parse_method(str(weights)).name == 'epoch_9'
    assert parse_method(f'x={config}').config == config
    assert parse_method('imagenet', str(weights)).weights == str(weights)
    method = parse_method('half=uscl:model.head.cls_weight=0.5,model.head.cls_input=projection')
    assert method.name == 'half'
    assert method.options == {'model.head.cls_weight': 0.5, 'model.head.cls_input': 'projection'}
    assert parse_method('x=uscl:a.b=[1,2],c=(3,4)').options == {'a.b': [1, 2], 'c': (3, 4)}
    continued = parse_method(f'on=uscl:init={weights},model.head.cls_weight=0')
    assert (continued.init, continued.options) == (str(weights), {'model.head.cls_weight': 0})
    # A user's option comes after the switches of the method.
    assert parse_method('x=spg:model.head.cls_weight=1').options['model.head.cls_weight'] == 1


@pytest.mark.parametrize(
    ('texts', 'message'),
    [
        (['usl'], 'usl .*random, imagenet, supervised'),
        (['uscl', 'uscl'], 'NAME=uscl'),
        (['a=random', 'a=uscl'], 'NAME=a '),
        (['uscl:model.head.cls_weight'], r'model\.head\.cls_weight .*KEY=VALUE'),
        (['imagenet'], '--imagenet-weights PATH'),
        (['random:a=1'], 'random:a=1'),
        (['a b=uscl'], "'a b'"),
        (['../x=uscl'], "'../x'"),
    ],
)
def test_texts_that_name_no_method(texts, message):
    with pytest.raises(ValueError, match=message):
        parse_methods(texts)


@pytest.mark.parametrize('text', ['x=gone.pth', 'x=gone.py', 'gone.pth', 'x=uscl:init=gone.pth'])
def test_files_that_are_not_there(text):
    with pytest.raises(FileNotFoundError, match=r'gone\.p'):
        parse_methods([text])
