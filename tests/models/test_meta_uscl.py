"""Meta-USCL's step, against differences of what a copy of the network really does."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from slow_losses import weighted_nt_xent
from torch import nn

import uscl_plugin  # noqa: F401


@pytest.fixture
def model():
    torch.manual_seed(0)
    loss = dict(type='LightlyNTXentLoss', temperature=0.5)
    made = MODELS.build(
        dict(
            type='MetaUSCL',
            backbone=dict(type='ResNet', depth=18, stem_channels=16, base_channels=16, out_indices=(3,)),
            neck=dict(type='MoCoV2Neck', in_channels=128, hid_channels=16, out_channels=8),
            head=dict(type='PairWeightHead', in_channels=128, hid_channels=3, lr=0.01, loss_contrastive=loss),
            data_preprocessor=dict(type='SelfSupDataPreprocessor', mean=[0.0] * 3, std=[1.0] * 3),
        )
    )
    # A small network of the same kind, with batch norm: the differences need double precision, which is slow.
    made.backbone = nn.Sequential(nn.Conv2d(3, 128, 5, stride=5), nn.BatchNorm2d(128), nn.Softplus(), Listed())
    return made.double().train()


class Listed(nn.Module):
    def forward(self, features):
        return (features,)


def data(count=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    views = [torch.randn(count, 3, 15, 15, generator=generator).double() for _ in range(4)]  # the input is single
    return dict(inputs=views, data_samples=[DataSample() for _ in range(count)])


def sgd(model, momentum=0.9, lr=0.1, **options):
    """SGD after two steps with other gradients, so that its buffers are filled."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=1e-4, **options)
    for step in range(2):
        for place, (name, parameter) in enumerate(model.named_parameters()):
            generator = torch.Generator().manual_seed(100 * step + place)
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.grad = None if 'weight_net' in name else 0.01 * noise
        optimizer.step()
    optimizer.zero_grad()
    return optimizer


def ntx(projection, weights=None):
    first, second = (part.detach().numpy() for part in projection.chunk(2))
    return weighted_nt_xent(first, second, [1.0] * len(first) if weights is None else weights.tolist(), 0.5)


def virtual_loss(model, optimizer, inputs, shift, direction):
    """NTX of the meta pairs after a real step of a copied optimiser, with the weight net moved by `shift`."""
    model, optimizer = copy.deepcopy((model, optimizer))  # together, so that the optimiser has the copied weights
    with torch.no_grad():
        for parameter, way in zip(model.head.weight_net.parameters(), direction, strict=True):
            parameter.add_(shift * way)
    representation, projection = model.embed(inputs)
    model.head.loss(projection, model.head.weigh(representation)).backward()
    for parameter in model.head.weight_net.parameters():
        parameter.grad = None
    optimizer.step()
    return ntx(model.embed(inputs[2:])[1])


@pytest.mark.parametrize('momentum', [0.9, 0.0])
def test_the_gradient_of_the_weight_net_is_that_of_differences(model, momentum):
    optimizer, inputs = sgd(model, momentum), data()['inputs']
    representation, projection = model.embed(inputs)
    loss = model.head.loss(projection, model.head.weigh(representation))
    meta_loss, gradients = model.meta_gradients(loss, inputs[2:], optimizer)
    psi = list(model.head.weight_net.parameters())
    assert meta_loss.item() == pytest.approx(virtual_loss(model, optimizer, inputs, 0.0, psi), rel=1e-9)
    for seed in range(4):
        ways = [torch.randn(p.shape, generator=torch.Generator().manual_seed(seed)).double() for p in psi]
        expected = sum((gradient * way).sum().item() for gradient, way in zip(gradients, ways, strict=True))
        above, below = (virtual_loss(model, optimizer, inputs, shift, ways) for shift in (1e-4, -1e-4))
        assert (above - below) / 2e-4 == pytest.approx(expected, rel=1e-4) and abs(expected) > 1e-7


def test_a_step_is_adam_on_the_weight_net_then_sgd_with_its_new_constant_weights(model):
    """Against a copy that does both by hand; batch norm's statistics move once."""
    optimizer, batch = sgd(model), data()
    twin, theirs = copy.deepcopy((model, optimizer))
    log = model.train_step(batch, OptimWrapper(optimizer))

    representation, projection = twin.embed(batch['inputs'])
    loss = twin.head.loss(projection, twin.head.weigh(representation))
    meta_loss, gradients = twin.meta_gradients(loss, batch['inputs'][2:], theirs)
    adam = torch.optim.Adam(twin.head.weight_net.parameters(), lr=0.01)
    for parameter, gradient in zip(twin.head.weight_net.parameters(), gradients, strict=True):
        parameter.grad = gradient
    adam.step()
    adam.zero_grad()
    weights = twin.head.weigh(representation).detach()
    total = twin.head.loss(projection, weights)
    total.backward()
    theirs.step()

    assert log['meta_ntxent'].item() == meta_loss.item()
    assert log['loss'].item() == pytest.approx(ntx(projection, weights), rel=1e-9)
    assert log['pair_weight'].item() == pytest.approx(weights.mean().item())
    state = twin.state_dict()
    for name, value in model.state_dict().items():
        if 'head.' not in name or 'weight_net' in name:
            torch.testing.assert_close(value, state[name], rtol=1e-9, atol=1e-12, msg=name)
    assert int(model.backbone[1].num_batches_tracked) == 1
    weight_net = set(map(id, model.head.weight_net.parameters()))
    assert not weight_net & set(map(id, optimizer.state))  # the run's optimiser never moved it


def test_the_loss_is_that_of_constant_weights_and_ignores_meta_pairs(model):
    inputs = data()['inputs']
    losses = model.loss(inputs, [])
    representation, projection = model.embed(inputs)
    assert losses['loss_contrastive'].item() == pytest.approx(ntx(projection, model.head.weigh(representation)))
    losses['loss_contrastive'].backward()
    assert all(parameter.grad is None for parameter in model.head.weight_net.parameters())
    assert torch.equal(model.loss(inputs[:2], [])['loss_contrastive'], losses['loss_contrastive'])


def test_what_cannot_be_looked_ahead_is_refused(model, monkeypatch):
    for optimizer in (
        torch.optim.Adam(model.parameters()),
        torch.optim.SGD(model.parameters(), 0.1, 0.9, nesterov=True),
    ):
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(ValueError, match=f"got {type(optimizer).__name__}: .*type='SGD'"):
            model.train_step(data(), OptimWrapper(optimizer))
        weights = {name: value for name, value in model.state_dict().items() if 'running' not in name}
        assert all(torch.equal(before[name], value) for name, value in weights.items() if 'tracked' not in name)
    batch = data()
    batch['inputs'] = batch['inputs'][:2]
    with pytest.raises(ValueError, match=r'2 views: .*AddMetaPair'):
        model.train_step(batch, OptimWrapper(sgd(model)))
    monkeypatch.setattr('uscl_plugin.models.meta_uscl.get_world_size', lambda: 2)
    with pytest.raises(RuntimeError, match='one process'):
        model.loss(data()['inputs'], [])
