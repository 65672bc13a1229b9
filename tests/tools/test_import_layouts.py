"""Layouts of other libraries: recognised, and computing what the library's own network computes."""

import copy
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn

from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.resnet_state import find_backbone, infer_resnet_depth

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def shaken(network: nn.Module, seed: int) -> nn.Module:
    """Batch norms far from the identity, so that a swapped tensor shows."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.2, 0.2),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
            ):
                tensor.data.uniform_(low, high, generator=generator)
    return network.eval()


def resnet(seed: int = 0, **options) -> nn.Module:
    torch.manual_seed(seed)
    return shaken(torchvision.models.resnet18(**options), seed)


def children(network: nn.Module) -> nn.Module:
    return nn.Sequential(*list(network.children())[:-1])


class Whole(nn.Module):
    """Modules under the names that a library gives them."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.eval()


Layout = tuple[dict, Callable[[torch.Tensor], torch.Tensor]]


def lightly_simclr() -> Layout:
    from lightly.models.modules import SimCLRProjectionHead

    model = Whole(backbone=children(resnet()), projection_head=SimCLRProjectionHead(512, 512, 128))
    return model.state_dict(), model.backbone


def lightly_moco() -> Layout:
    from lightly.models.modules import MoCoProjectionHead

    head = MoCoProjectionHead(512, 512, 128)
    model = Whole(
        backbone=children(resnet()),
        projection_head=head,
        backbone_momentum=children(resnet(1)),
        projection_head_momentum=copy.deepcopy(head),
    )
    return model.state_dict(), model.backbone


def lightly_dino() -> Layout:
    from lightly.models.modules import DINOProjectionHead

    model = Whole(
        student_backbone=children(resnet()),
        student_head=DINOProjectionHead(512, 512, 64, 128),
        teacher_backbone=children(resnet(1)),
        teacher_head=DINOProjectionHead(512, 512, 64, 128),
    )
    return model.state_dict(), model.student_backbone


def mmpretrain_model(**cfg) -> Layout:
    import mmpretrain.models  # noqa: F401 (registers them)
    from mmengine.registry import DefaultScope
    from mmpretrain.registry import MODELS

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(backbone=dict(type='ResNet', depth=18), **cfg))
    shaken(model.backbone, 3)
    return {'state_dict': model.state_dict()}, lambda images: model.backbone(images)[0].mean((2, 3))


def mmpretrain_moco() -> Layout:
    neck = dict(type='MoCoV2Neck', in_channels=512, hid_channels=32, out_channels=16)
    head = dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'))
    return mmpretrain_model(type='MoCo', queue_len=8, feat_dim=16, neck=neck, head=head)


def mmpretrain_byol() -> Layout:
    neck = dict(type='NonLinearNeck', in_channels=512, hid_channels=32, out_channels=16, num_layers=2)
    head = dict(type='LatentPredictHead', loss=dict(type='CosineSimilarityLoss'), predictor=neck | dict(in_channels=16))
    return mmpretrain_model(type='BYOL', neck=neck, head=head)


def headless(network: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    network = copy.deepcopy(network)
    network.fc = nn.Identity()
    return network


def torchvision_resnet() -> Layout:
    network = resnet()
    return network.state_dict(), headless(network)


def timm_resnet() -> Layout:
    timm = pytest.importorskip('timm')
    network = shaken(timm.create_model('resnet18', num_classes=10), 0)
    return {'state_dict': network.state_dict()}, headless(network)


def timm_features() -> Layout:
    timm = pytest.importorskip('timm')
    network = shaken(timm.create_model('resnet18', features_only=True), 0)
    return network.state_dict(), lambda images: network(images)[-1].mean((2, 3))


def moco_code() -> Layout:  # the names of the released MoCo code, of which there is no package
    query, key = resnet(num_classes=16), resnet(1, num_classes=16)
    for encoder in (query, key):
        encoder.fc = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), encoder.fc)
    model = Whole(module=Whole(encoder_q=query, encoder_k=key))
    model.module.register_buffer('queue', torch.randn(16, 8))
    return {'epoch': 3, 'state_dict': model.state_dict()}, headless(query)


def mmselfsup_moco() -> Layout:  # MMSelfSup before 1.0: the backbone has two names
    query, key = (nn.Sequential(resnet(seed), nn.Linear(512, 16)) for seed in (0, 1))
    query[0].fc, key[0].fc = nn.Identity(), nn.Identity()
    model = Whole(encoder_q=query, encoder_k=key, backbone=query[0], neck=query[1])
    return {'meta': {}, 'state_dict': model.state_dict()}, query[0]


def solo_learn() -> Layout:
    backbone, momentum = resnet(), resnet(1)
    backbone.fc, momentum.fc = nn.Identity(), nn.Identity()
    model = Whole(backbone=backbone, momentum_backbone=momentum, classifier=nn.Linear(512, 4))
    return {'state_dict': model.state_dict()}, backbone


def swav_code() -> Layout:
    network = resnet()
    network.fc = nn.Identity()
    parts = {'projection_head': nn.Linear(512, 16), 'prototypes': nn.Linear(16, 8)}
    model = Whole(module=copy.deepcopy(network))
    for name, part in parts.items():
        model.module.add_module(name, part)
    return model.state_dict(), network


def vissl() -> Layout:
    network = resnet()
    network.fc = nn.Identity()
    trunk = {f'_feature_blocks.{name}': value for name, value in network.state_dict().items()}
    return {'classy_state_dict': {'base_model': {'model': {'trunk': trunk, 'heads': {}}}}, 'loss': {}}, network


LAYOUTS = [
    (lightly_simclr, 'backbone.', ()),
    (lightly_moco, 'backbone.', ('backbone_momentum.',)),
    (lightly_dino, 'student_backbone.', ('teacher_backbone.',)),
    (mmpretrain_moco, 'backbone.', ('encoder_k.module.0.',)),
    (mmpretrain_byol, 'backbone.', ('target_net.module.0.',)),
    (torchvision_resnet, '', ()),
    (timm_resnet, '', ()),
    (timm_features, '', ()),
    (moco_code, 'module.encoder_q.', ('module.encoder_k.',)),
    (mmselfsup_moco, 'backbone.', ('encoder_k.0.',)),
    (solo_learn, 'backbone.', ('momentum_backbone.',)),
    (swav_code, 'module.', ()),
    (vissl, 'classy_state_dict.base_model.model.trunk._feature_blocks.', ()),
]


@torch.no_grad()
@pytest.mark.parametrize(('layout', 'prefix', 'passed_over'), LAYOUTS, ids=lambda value: getattr(value, '__name__', ''))
def test_layout_is_recognised_and_computes_the_same(layout, prefix, passed_over):
    checkpoint, forward = layout()
    expected = forward(IMAGES).flatten(1)
    found = find_backbone(checkpoint)
    assert (found.prefix, found.passed_over) == (prefix, passed_over)
    assert infer_resnet_depth(found.state) == 18
    network = torchvision.models.resnet18().eval()
    network.fc = nn.Identity()
    network.load_state_dict(found.state, strict=True)
    assert expected.std() > 1e-2
    torch.testing.assert_close(network(IMAGES), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_checkpoint_of_a_lightning_trainer(tmp_path):
    lightning = pytest.importorskip('pytorch_lightning')

    class Model(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.backbone = children(resnet())

    trainer = lightning.Trainer(logger=False, accelerator='cpu', enable_checkpointing=False, barebones=False)
    model = Model()
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / 'last.ckpt', weights_only=True)
    found = find_backbone(load_plain_checkpoint(tmp_path / 'last.ckpt'))
    assert torch.equal(found.state['layer4.1.conv2.weight'], model.backbone[7][1].conv2.weight)
