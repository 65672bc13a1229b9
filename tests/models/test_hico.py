"""HiCo as a whole: it is built for the size of its views, whatever the backbone."""

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

import uscl_plugin  # noqa: F401


def build(size, depth=18, channels=3):
    torch.manual_seed(0)
    width = 128 if depth == 18 else 512
    loss = dict(type='LightlyNTXentLoss', temperature=0.5)
    return MODELS.build(
        dict(
            type='HiCo',
            input_size=size,
            backbone=dict(
                type='ResNet', depth=depth, in_channels=channels, stem_channels=16, base_channels=16, out_indices=(3,)
            ),
            neck=dict(type='LevelNeck', channels=8, out_channels=6),
            head=dict(type='HiCoHead', num_classes=2, in_channels=width, loss_contrastive=loss),
        )
    )


@pytest.mark.parametrize(('size', 'depth', 'sides'), [(64, 18, (16, 8, 2)), (50, 18, (13, 7, 2)), (32, 50, (8, 4, 1))])
def test_the_neck_fits_the_maps_of_any_size_and_backbone(size, depth, sides):
    model = build(size, depth)
    assert [net[1].in_features for net in model.neck.embeddings] == [8 * side**2 for side in sides]
    views = [torch.randn(2, 3, size, size) for _ in range(2)]
    losses = model.loss(views, [DataSample().set_gt_label(k) for k in (0, 1)])
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    again = build(size, depth)
    again.load_state_dict(model.state_dict())


def test_images_of_one_channel():
    model = build(32, channels=1)
    assert model.embed([torch.randn(2, 1, 32, 32)] * 2)[1].shape == (4, 6)


def test_losses_are_of_the_backbones_maps_and_embed_gives_the_global_level():
    model = build(32).eval()
    views = [torch.randn(2, 3, 32, 32) for _ in range(2)]
    samples = [DataSample(), DataSample()]
    with torch.no_grad():
        maps = model.backbone(torch.cat(views))
        assert [each.shape[1] for each in maps] == [16, 32, 64, 128]
        levels = model.neck(maps)
        expected = model.head.loss(maps[-1].mean((2, 3)), levels, samples)
        losses = model.loss(views, samples)
        representation, projection = model.embed(views)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)
    torch.testing.assert_close(projection, levels[2])
    torch.testing.assert_close(representation, maps[-1].mean((2, 3)))


def test_building_changes_no_statistics_and_other_sizes_are_refused():
    model = build(64)
    assert model.backbone.training and int(model.backbone.bn1.num_batches_tracked) == 0
    with pytest.raises(ValueError, match=r'64 px.* 32 x 32 .*model\.input_size'):
        model.loss([torch.randn(2, 3, 32, 32)] * 2, [])
