import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

import uscl_plugin  # noqa: F401


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='USCL',
            data_preprocessor=dict(mean=[127.5] * 3, std=[63.75] * 3, to_rgb=True),
            backbone=dict(type='ResNet', depth=18, out_indices=(3,)),
            neck=dict(type='MoCoV2Neck', in_channels=512, hid_channels=512, out_channels=256),
            head=dict(
                type='USCLHead',
                num_classes=2,
                in_channels=512,
                loss_contrastive=dict(type='LightlyNTXentLoss', temperature=0.5),
            ),
        )
    )


def batch(num_videos=3, labels=(0, 1, -1), size=32):
    views = [torch.randint(0, 256, (num_videos, 3, size, size)).float() for _ in range(2)]
    return dict(inputs=views, data_samples=[DataSample().set_gt_label(label) for label in labels])


def test_one_backbone_pass_and_losses_of_the_parts(model):
    passes = []
    model.backbone.register_forward_hook(lambda module, args, out: passes.append(args[0].shape))
    model.backbone.out_indices = (2, 3)  # the last map counts
    data = model.data_preprocessor(batch(size=64))
    losses = model(**data, mode='loss')
    assert passes == [(6, 3, 64, 64)]
    assert set(losses) == {'loss_contrastive', 'loss_cls', 'accuracy'}

    model.eval()  # batch norm by running statistics: a view's features do not depend on the batch
    losses = model(**data, mode='loss')
    with torch.no_grad():
        h = [model.backbone(view)[1].mean((2, 3)) for view in data['inputs']]
        z = [model.neck.mlp(part) for part in h]
    assert losses['loss_contrastive'].item() == pytest.approx(model.head.loss_contrastive(*z).item(), rel=1e-4)
    expected = 0.2 * sum(
        torch.nn.functional.cross_entropy(model.head.classifier(part[:2]), torch.tensor([0, 1])) for part in h
    )
    assert losses['loss_cls'].item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize('size', [32, 64, 128])
def test_channels_last_changes_nothing_beyond_rounding(model, size):
    data = model.data_preprocessor(batch(size=size))
    layouts = []
    model.backbone.register_forward_hook(
        lambda module, args, out: layouts.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    results = []
    for layout in (torch.channels_last, torch.contiguous_format):
        model.memory_format = layout
        model.zero_grad()
        total, _ = model.parse_losses(model(**data, mode='loss'))
        total.backward()
        results.append((total.detach(), model.backbone.layer4[1].conv2.weight.grad.clone()))
    assert layouts == [True, False]
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-4, atol=0)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize('size, small', [(64, ['layer3', 'layer4']), (112, ['layer4']), (224, [])])
def test_small_maps_are_laid_out_as_nchw_on_a_cpu(model, size, small):
    inputs = {}
    for name, stage in model.backbone.named_children():
        stage.register_forward_hook(lambda module, args, out, name=name: inputs.update({name: args[0]}))
    with torch.no_grad():
        model.embed([torch.rand(1, 3, size, size) for _ in range(2)])
    found = {name: value for name, value in inputs.items() if name.startswith('layer')}
    assert [name for name, value in found.items() if value.is_contiguous()] == small
    for name in found.keys() - small:
        assert found[name].is_contiguous(memory_format=torch.channels_last)


def test_a_batch_without_labels_trains_every_parameter_finitely(model):
    losses = model(**model.data_preprocessor(batch(labels=(-1, -1, -1))), mode='loss')
    total, log = model.parse_losses(losses)
    total.backward()
    assert log['loss_cls'] == 0 and total.isfinite()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    assert model.backbone.conv1.weight.grad.abs().max() > 0


def test_tensor_mode_gives_backbone_features_of_rgb_input(model):
    model.eval()
    images = torch.randint(0, 256, (2, 3, 64, 64))
    features = model(model.data_preprocessor(dict(inputs=images, data_samples=None))['inputs'], mode='tensor')
    with torch.no_grad():
        expected = model.backbone((images.flip(1).float() - 127.5) / 63.75)
    assert [tuple(f.shape) for f in features] == [(2, 512, 2, 2)]
    torch.testing.assert_close(features[0], expected[0])


@pytest.mark.parametrize('views', [1, 3])
def test_other_numbers_of_views_are_refused(model, views):
    with pytest.raises(ValueError, match=r'USCL .*MixFrames'):
        model.loss([torch.randn(2, 3, 32, 32)] * views, [DataSample(), DataSample()])
    with pytest.raises(ValueError, match=r'\(2, 3, 32, 32\)'):
        model.loss(torch.randn(2, 3, 32, 32), [DataSample(), DataSample()])


@pytest.mark.parametrize(
    ('backbone', 'named'),
    [
        (dict(type='MobileNetV3', arch='small'), 'model.neck.in_channels=576, model.head.in_channels=576'),
        (
            dict(type='ConvNeXt', arch='atto'),
            'model.neck.in_channels=320, model.head.in_channels=320, model.neck.with_avg_pool=False',
        ),
    ],
)
def test_settings_that_do_not_fit_the_backbone_are_named(model, backbone, named):
    config = dict(
        type='USCL',
        data_preprocessor=dict(mean=[127.5] * 3, std=[63.75] * 3),
        backbone=backbone,
        neck=dict(type='MoCoV2Neck', in_channels=512, hid_channels=512, out_channels=256),
        head=dict(type='USCLHead', num_classes=2, in_channels=512, loss_contrastive=dict(type='LightlyNTXentLoss')),
    )
    other = MODELS.build(config)
    data = other.data_preprocessor(batch())
    with pytest.raises(ValueError, match=named):
        other(**data, mode='loss')
    for setting in named.split(', '):
        _, part, key = setting.partition('=')[0].split('.')
        config[part][key] = {'False': False}.get(setting.partition('=')[2], config[part].get(key))
        if key == 'in_channels':
            config[part][key] = int(setting.partition('=')[2])
    assert MODELS.build(config)(**data, mode='loss')['loss_contrastive'].isfinite()
