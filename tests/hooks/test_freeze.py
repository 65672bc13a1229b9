import copy
import logging

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from torch import nn

from uscl_plugin.hooks import FreezeHook


class FakeRunner:
    """What the hook needs of a runner."""

    def __init__(self, model):
        self.model = model
        self.logger = logging.getLogger('freeze')


@pytest.fixture
def classifier(root):
    cfg = Config.fromfile(root / 'configs' / '_base_' / 'models' / 'resnet18_classifier.py')
    cfg.model.backbone.update(stem_channels=16, base_channels=16)
    cfg.model.head.in_channels = 128
    torch.manual_seed(0)
    return MODELS.build({**cfg.model, '_scope_': 'mmpretrain'})


def train(model, hook, steps=3):
    runner = FakeRunner(model)
    hook.before_train(runner)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.1)
    for step in range(steps):
        model.train()
        hook.before_train_iter(runner, step)
        optimizer.zero_grad()
        torch.manual_seed(step)
        model(torch.randn(4, 3, 32, 32)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize('batch_norm', ['released', 'frozen'])
@pytest.mark.parametrize('trainable', [['backbone.layer4.1', 'head'], ['head'], ['backbone.layer4', 'head.fc.bias']])
def test_only_what_is_named_changes(classifier, trainable, batch_norm):
    before = copy.deepcopy(classifier.state_dict())
    train(classifier, FreezeHook(trainable, batch_norm))
    learned = {name for name, _ in classifier.named_parameters() if name.startswith(tuple(trainable))}
    assert learned
    for name, tensor in classifier.state_dict().items():
        same = torch.equal(tensor, before[name])
        if name.startswith('data_preprocessor'):
            continue
        is_statistic = 'running' in name or 'num_batches' in name
        if is_statistic:
            frozen = f'{name.rpartition(".")[0]}.weight' not in learned
            assert same == (frozen and batch_norm == 'frozen'), name
        else:
            assert same == (name not in learned), name


def test_no_gradient_is_computed_below_the_first_trained_layer(classifier):
    FreezeHook(['backbone.layer4.1', 'head']).before_train(FakeRunner(classifier))
    passed = {}
    for name in ('layer1', 'layer3', 'layer4'):
        getattr(classifier.backbone, name).register_forward_hook(
            lambda module, inputs, output, name=name: passed.update({name: output.requires_grad})
        )
    classifier(torch.randn(2, 3, 32, 32)).sum().backward()
    assert passed == {'layer1': False, 'layer3': False, 'layer4': True}
    assert all((p.grad is not None) == p.requires_grad for p in classifier.parameters())


def test_frozen_batch_norm_makes_the_frozen_part_a_fixed_function(classifier):
    hook = FreezeHook(['head'], 'frozen')
    runner = FakeRunner(classifier)
    hook.before_train(runner)
    image, others = torch.randn(1, 3, 32, 32), torch.randn(5, 3, 32, 32) * 3
    classifier.train()
    hook.before_train_iter(runner, 0)
    alone, together = classifier.backbone(image)[0], classifier.backbone(torch.cat([image, others]))[0][:1]
    torch.testing.assert_close(alone, together)


def test_a_prefix_is_a_whole_name():
    model = nn.ModuleDict({'layer': nn.Linear(2, 2), 'layer4': nn.Linear(2, 2)})
    FreezeHook(['layer']).before_train(FakeRunner(model))
    assert [p.requires_grad for p in model.parameters()] == [True, True, False, False]


def test_errors(classifier):
    with pytest.raises(ValueError, match=r"'backbone.layer5', .*backbone.bn1, .*trainable"):
        FreezeHook(['backbone.layer5']).before_train(FakeRunner(classifier))
    with pytest.raises(ValueError, match=r'batch_norm .*released, frozen'):
        FreezeHook(['head'], 'eval')


@pytest.mark.parametrize(
    ('trainable', 'without'),
    [
        (['backbone.layer4.1', 'head'], ['backbone.layer3', 'backbone.layer4.0']),
        (['head'], ['backbone.layer4.1']),
        (['backbone.layer4', 'head'], ['backbone.layer3']),
    ],
)
def test_frozen_stages_keep_no_graph(classifier, trainable, without):
    FreezeHook(trainable).before_train(FakeRunner(classifier))
    modules, kept = dict(classifier.named_modules()), {}
    for name in [*without, trainable[0]]:
        modules[name].register_forward_hook(lambda module, _, out, name=name: kept.update({name: out.requires_grad}))
    classifier.train()(torch.randn(2, 3, 32, 32))
    assert kept == dict.fromkeys(without, False) | {trainable[0]: True}
