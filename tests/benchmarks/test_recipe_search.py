"""Successive halving, and a list of recipes that can be trained."""

import json

import pytest
import torch
from tool_module import load_tool

from uscl.options.common_settings import CommonSettings
from uscl_plugin.comparison.methods import parse_method
from uscl_plugin.comparison.pretraining_config import pretraining_config
from uscl_plugin.evaluation.backbones import load_backbone, write_backbone
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint


@pytest.fixture(scope='module')
def tool(root):
    return load_tool('tools/benchmarks/recipe_search.py')


@pytest.fixture
def search(tool, tmp_path, monkeypatch):
    """A function that searches among recipes whose scores are given by name, and returns what was asked."""
    asked = []

    def run(values, *rounds):
        def score(options, name, recipe, task, steps):
            asked.append((name, task, steps))
            return values[name] + (task == 'c:d')

        monkeypatch.setattr(tool, 'score', score)
        (tmp_path / 'recipes.json').write_text(json.dumps(dict.fromkeys(values, 'spg')))
        command = ['--recipes', str(tmp_path / 'recipes.json'), '--tasks', 'a:b', 'c:d', '--rounds', *rounds]
        return tool.main([*command, '--out', str(tmp_path / 'out')]), asked

    return run


def test_the_best_of_each_round_go_on(search, tmp_path):
    status, asked = search({'p': 0.1, 'q': 0.3, 'r': 0.2, 's': 0.05}, '4:100', '2:200', '1:400')
    assert status == 0
    assert [name for name, task, steps in asked if steps == 200 and task == 'a:b'] == ['q', 'r']
    assert [entry for entry in asked if entry[2] == 400] == [('q', 'a:b', 400), ('q', 'c:d', 400)]
    found = json.loads((tmp_path / 'out' / 'search.json').read_text())['rounds']
    assert list(found[0]['scores']) == ['q', 'r', 'p', 's'] and found[2]['scores'] == {'q': [0.3, 1.3]}
    assert '| q | 0.300 | 1.300 | 0.800 |' in (tmp_path / 'out' / 'search.md').read_text()


@pytest.mark.parametrize('rounds', [['3:100'], ['4:100', '5:200']])
def test_rounds_that_do_not_get_fewer_are_refused(search, capsys, rounds):
    assert search({'p': 1, 'q': 2, 'r': 3, 's': 4}, *rounds)[0] != 0
    assert 'rounds' in capsys.readouterr().err


def test_every_shipped_recipe_has_a_config(root, clusters, monkeypatch):
    monkeypatch.chdir(root)  # a recipe may name a config
    recipes = json.loads((root / 'tools' / 'benchmarks' / 'recipes.json').read_text())
    assert len(recipes) >= 24
    common = CommonSettings(pretrain_data=str(clusters), epochs=2, batch_size=4, size=32, workers=0)
    configs = {name: pretraining_config(parse_method(f'{name}={text}'), common, 0)[0] for name, text in recipes.items()}
    assert len({cfg.pretty_text for cfg in configs.values()}) == len(recipes)  # no two are the same


def test_every_shipped_recipe_from_imagenet_has_a_config(root, clusters, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'imagenet.pth').touch()  # only its name is looked at here
    recipes = json.loads((root / 'tools' / 'benchmarks' / 'recipes_imagenet.json').read_text())
    backbone = 'timm:tf_efficientnet_lite0'
    common = CommonSettings(pretrain_data=str(clusters), epochs=2, batch_size=4, size=32, workers=0, backbone=backbone)
    methods = [parse_method(f'{name}={text}') for name, text in recipes.items()]
    assert {method.init for method in methods} == {'data/imagenet.pth'}
    configs = {pretraining_config(method, common, 0)[0].pretty_text for method in methods}
    assert len(configs) == len(recipes)


def test_a_recipe_starts_from_its_weights(tool, clusters, tmp_path, monkeypatch):
    backbone = 'timm:tf_efficientnet_lite0'
    write_backbone(tmp_path / 'given.pth', load_backbone(f'random:{backbone}', seed=1))
    trained = []

    def train(cfg, folder, depends_on):
        trained.append(cfg)
        raise InterruptedError

    monkeypatch.setattr(tool, 'run_training', train)
    options = tool.Options(
        recipes='', tasks=[], rounds=[], backbone=backbone, size=32, out=str(tmp_path / 'out')
    )  # fmt: skip
    with pytest.raises(InterruptedError):
        tool.score(options, 'mine', f'uscl:init={tmp_path}/given.pth', f'{clusters}:{clusters}', 4)
    given = load_plain_checkpoint(tmp_path / 'given.pth')['state_dict']
    start = load_plain_checkpoint(trained[0].model.backbone.init_cfg.checkpoint)['state_dict']
    name = next(name for name in given if name.endswith('conv_stem.weight'))
    assert torch.equal(given[name], next(value for key, value in start.items() if key.endswith('conv_stem.weight')))
