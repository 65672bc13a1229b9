"""The stand-in's focal loss, deformable convolutions and attention, through mmcv.ops, against plain loops."""

import itertools
import math

import pytest
import torch

from uscl_plugin.compat.mmcv_ops import ext

DEVICES = ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']
SUMS = 1e-9  # a GPU adds in any order
on_each_device = pytest.mark.parametrize('device', DEVICES)


def random(*shape, seed=0, low=0.0, high=1.0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * (high - low) + low


def with_gradients(tensors, device):
    return [tensor.to(device).requires_grad_() for tensor in tensors]


def bilinear(image, y, x):
    """Value of a (H, W) list of lists at a point whose whole numbers are the centres of cells; 0 outside."""
    top, left, value = math.floor(y), math.floor(x), 0.0
    for row, column in itertools.product((top, top + 1), (left, left + 1)):
        if 0 <= row < len(image) and 0 <= column < len(image[0]):
            value += image[row][column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return value


# Focal loss


def reference_focal_loss(logits, target, gamma, alpha, weight=None):
    """Lin et al., Focal Loss for Dense Object Detection, eq. 5, for each logit."""
    losses = torch.zeros(logits.shape, dtype=torch.float64)
    for n, c in itertools.product(*map(range, logits.shape)):
        p = 1 / (1 + math.exp(-logits[n, c]))
        positive = target[n] == c
        p_t, alpha_t = (p, alpha) if positive else (1 - p, 1 - alpha)
        losses[n, c] = -alpha_t * (1 - p_t) ** gamma * math.log(p_t) * (1 if weight is None else weight[target[n]])
    return losses


@on_each_device
@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (1.5, 0.7), (0.0, 0.5)])
@pytest.mark.parametrize('weighted', [False, True])
def test_focal_loss_by_its_definition(device, gamma, alpha, weighted):
    from mmcv.ops import sigmoid_focal_loss

    logits = random(8, 3, low=-4, high=4)
    # 3 and -1 are background; with weights mmcv has none for it
    target = torch.tensor([0, 1, 2, 1, 0, 2, 2, 1] if weighted else [0, 3, 2, 1, -1, 3, 2, 1])
    weight = torch.tensor([0.5, 1, 3], dtype=torch.float64) if weighted else None
    expected = reference_focal_loss(logits, target, gamma, alpha, weight)
    (x,) = with_gradients([logits], device)
    on_device = (target.to(device), gamma, alpha, None if weight is None else weight.to(device))
    torch.testing.assert_close(sigmoid_focal_loss(x, *on_device, 'none').cpu(), expected)
    torch.testing.assert_close(sigmoid_focal_loss(x, *on_device, 'sum').cpu(), expected.sum())
    torch.testing.assert_close(sigmoid_focal_loss(x, *on_device, 'mean').cpu(), expected.sum() / 8)
    assert torch.autograd.gradcheck(lambda logits: sigmoid_focal_loss(logits, *on_device, 'none'), x)


@on_each_device
def test_focal_loss_is_what_mmdetection_computes_without_it(device):
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss, sigmoid_focal_loss

    logits, target = random(20, 4, low=-6, high=6).float().to(device), (torch.arange(20) % 5).to(device)
    weight = random(20, seed=1).float().to(device)
    one_hot = torch.nn.functional.one_hot(target, 5)[:, :4]
    torch.testing.assert_close(
        sigmoid_focal_loss(logits, target, weight, avg_factor=7),
        py_sigmoid_focal_loss(logits, one_hot, weight, avg_factor=7),
    )


@on_each_device
def test_focal_loss_of_certain_logits_is_finite(device):
    from mmcv.ops import sigmoid_focal_loss

    (logits,) = with_gradients([torch.tensor([[200.0, -200.0], [200.0, -200.0]])], device)
    loss = sigmoid_focal_loss(logits, torch.tensor([0, 1], device=device), 2.0, 0.25, None, 'none')
    loss.sum().backward()
    torch.testing.assert_close(loss.detach().cpu(), torch.tensor([[0.0, 0.0], [150.0, 50.0]]))
    torch.testing.assert_close(logits.grad.cpu(), torch.tensor([[0.0, 0.0], [0.75, -0.25]]))


# Deformable convolutions


def reference_deformable_convolution(x, offset, weight, stride, padding, dilation, deform_groups, mask=None, bias=None):
    """Dai et al., Deformable Convolutional Networks, eq. 2; with a mask Zhu et al., Deformable ConvNets v2, eq. 1."""
    (n, channels, *size), (outputs, per_group, *kernel) = x.shape, weight.shape
    groups = channels // per_group
    shape = [(size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
    result = torch.zeros(n, outputs, *shape, dtype=torch.float64)
    for b, o, row, column in itertools.product(*map(range, result.shape)):
        value = 0.0 if bias is None else float(bias[o])
        for c, i, j in itertools.product(range(per_group), *map(range, kernel)):
            channel = o // (outputs // groups) * per_group + c
            group = channel // (channels // deform_groups)
            k = group * kernel[0] * kernel[1] + i * kernel[1] + j
            y = row * stride[0] - padding[0] + i * dilation[0] + float(offset[b, 2 * k, row, column])
            x_ = column * stride[1] - padding[1] + j * dilation[1] + float(offset[b, 2 * k + 1, row, column])
            sample = bilinear(x[b, channel].tolist(), y, x_) * float(weight[o, c, i, j])
            value += sample * (1 if mask is None else float(mask[b, k, row, column]))
        result[b, o, row, column] = value
    return result


# input channels, output channels, kernel, stride, padding, dilation, groups, groups of offsets
LAYERS = [
    (2, 3, (3, 3), (1, 1), (1, 1), (1, 1), 1, 1),
    (4, 2, (2, 3), (2, 1), (1, 0), (1, 2), 2, 2),
    (4, 4, (1, 1), (1, 2), (0, 1), (1, 1), 4, 2),
]


def layer_inputs(channels, outputs, kernel, stride, padding, dilation, groups, deform_groups, batch=2, size=(5, 6)):
    """Input, offsets and weight, and what mmcv takes after them; offsets reach outside, and none is a whole number."""
    shape = [(size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
    taps = deform_groups * kernel[0] * kernel[1]
    offset = random(batch, 2 * taps, *shape, seed=1, low=-2.5, high=2.5)
    offset = torch.where((offset - offset.round()).abs() < 0.02, offset + 0.1, offset)  # no derivative there
    weight = random(outputs, channels // groups, *kernel, seed=2, low=-1)
    return [random(batch, channels, *size, low=-1), offset, weight], random(batch, taps, *shape, seed=3)


@on_each_device
@pytest.mark.parametrize('layer', LAYERS)
def test_deformable_convolution_by_its_definition(device, layer):
    from mmcv.ops import deform_conv2d

    inputs, _ = layer_inputs(*layer)
    *_, stride, padding, dilation, groups, deform_groups = layer
    found = deform_conv2d(*(tensor.to(device) for tensor in inputs), stride, padding, dilation, groups, deform_groups)
    expected = reference_deformable_convolution(*inputs, stride, padding, dilation, deform_groups)
    torch.testing.assert_close(found.cpu(), expected)


@on_each_device
@pytest.mark.parametrize('layer', LAYERS)
@pytest.mark.parametrize('with_bias', [False, True])
def test_modulated_convolution_by_its_definition(device, layer, with_bias):
    from mmcv.ops import modulated_deform_conv2d

    (x, offset, weight), mask = layer_inputs(*layer)
    *_, stride, padding, dilation, groups, deform_groups = layer
    bias = random(weight.shape[0], seed=4) if with_bias else None
    found = modulated_deform_conv2d(
        *(None if tensor is None else tensor.to(device) for tensor in (x, offset, mask, weight, bias)),
        *(stride, padding, dilation, groups, deform_groups),
    )
    expected = reference_deformable_convolution(x, offset, weight, stride, padding, dilation, deform_groups, mask, bias)
    torch.testing.assert_close(found.cpu(), expected)


@on_each_device
@pytest.mark.parametrize('layer', LAYERS)
def test_gradients_of_deformable_convolutions(device, layer):
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d

    (x, offset, weight), mask = layer_inputs(*layer, batch=1, size=(2, 5))
    settings = layer[3:]
    x, offset, mask, weight = with_gradients([x, offset, mask, weight], device)
    (bias,) = with_gradients([random(weight.shape[0], seed=4)], device)
    for function, some in (
        (lambda *inputs: deform_conv2d(*inputs, *settings), [x, offset, weight]),
        (lambda *inputs: modulated_deform_conv2d(*inputs, *settings), [x, offset, mask, weight, bias]),
        (lambda *inputs: modulated_deform_conv2d(*inputs, *settings), [x, offset, mask, weight, None]),
    ):
        assert torch.autograd.gradcheck(function, some, fast_mode=True, nondet_tol=SUMS)


@on_each_device
def test_offsets_of_a_larger_map_are_read_as_by_the_compiled_op(device):
    from mmcv.ops import modulated_deform_conv2d

    (x, offset, weight), mask = layer_inputs(*LAYERS[0])
    large = {name: random(2, many, 7, 8, seed=5, low=0.1, high=0.9) for name, many in (('offset', 18), ('mask', 9))}
    small = {'offset': offset.clone(), 'mask': mask.clone()}
    for name, tensor in small.items():
        for b, channel, row, column in itertools.product(*map(range, tensor.shape)):
            place = (channel * tensor.shape[2] + row) * tensor.shape[3] + column
            tensor[b, channel, row, column] = large[name][b].reshape(-1)[place]
    ours, theirs = (with_gradients([x, *maps.values(), weight], device) for maps in (large, small))
    found, expected = (modulated_deform_conv2d(*inputs, None, 1, 1) for inputs in (ours, theirs))
    torch.testing.assert_close(found, expected)
    (found + expected).sum().backward()
    for wide, narrow in zip(ours, theirs, strict=True):
        wide, narrow = wide.grad.flatten(1), narrow.grad.flatten(1)
        torch.testing.assert_close(wide[:, : narrow.shape[1]], narrow)
        assert not wide[:, narrow.shape[1] :].any()


def test_weight_alone_gets_a_gradient():
    from mmcv.ops import deform_conv2d

    (x, offset, weight), _ = layer_inputs(*LAYERS[0])
    weight.requires_grad_()
    deform_conv2d(x, offset, weight, 1, 1).sum().backward()
    every = [tensor.detach().requires_grad_() for tensor in (x, offset, weight)]
    deform_conv2d(*every, 1, 1).sum().backward()
    torch.testing.assert_close(weight.grad, every[2].grad)


# Deformable attention

SHAPES = [(3, 4), (2, 2), (1, 3)]


def attention_inputs(batch=2, queries=5, heads=2, channels=3, points=2):
    cells = sum(height * width for height, width in SHAPES)
    value = random(batch, cells, heads, channels, low=-1)
    locations = random(batch, queries, heads, len(SHAPES), points, 2, seed=1, low=-0.3, high=1.3)
    weights = random(batch, queries, heads, len(SHAPES) * points, seed=2).softmax(-1)
    return value, locations, weights.view(batch, queries, heads, len(SHAPES), points)


def attend(value, locations, weights):
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    shapes = torch.tensor(SHAPES, device=value.device)
    first = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
    return MultiScaleDeformableAttnFunction.apply(value, shapes, first, locations, weights, 64)


def reference_attention(value, locations, weights):
    """Zhu et al., Deformable DETR, eq. 3, before the output projection."""
    batch, queries, heads, levels, points, _ = locations.shape
    channels = value.shape[-1]
    result = torch.zeros(batch, queries, heads * channels, dtype=torch.float64)
    for b, head, channel in itertools.product(range(batch), range(heads), range(channels)):
        first, maps = 0, []
        for height, width in SHAPES:
            maps.append(value[b, first : first + height * width, head, channel].view(height, width).tolist())
            first += height * width
        for query, level, point in itertools.product(range(queries), range(levels), range(points)):
            (x, y), (height, width) = locations[b, query, head, level, point].tolist(), SHAPES[level]
            sample = bilinear(maps[level], y * height - 0.5, x * width - 0.5)
            result[b, query, head * channels + channel] += sample * float(weights[b, query, head, level, point])
    return result


@on_each_device
def test_deformable_attention_by_its_definition(device):
    inputs = attention_inputs()
    found = attend(*(tensor.to(device) for tensor in inputs))
    torch.testing.assert_close(found.cpu(), reference_attention(*inputs))


@on_each_device
def test_gradients_of_deformable_attention(device):
    inputs = with_gradients(attention_inputs(batch=1, queries=2, channels=2), device)
    assert torch.autograd.gradcheck(attend, inputs, nondet_tol=SUMS)


# All of them


def focal(logits):
    from mmcv.ops import sigmoid_focal_loss

    return sigmoid_focal_loss(logits, torch.arange(len(logits), device=logits.device), 2.0, 0.25, None, 'none')


def plain(*inputs):
    from mmcv.ops import deform_conv2d

    return deform_conv2d(*inputs, 1, 1)


def modulated(*inputs):
    from mmcv.ops import modulated_deform_conv2d

    return modulated_deform_conv2d(*inputs, 1, 1)


def examples():
    (x, offset, weight), mask = layer_inputs(*LAYERS[0])
    yield pytest.param(focal, [random(4, 3, low=-3, high=3)], id='focal loss')
    yield pytest.param(plain, [x, offset, weight], id='deformable convolution')
    yield pytest.param(modulated, [x, offset, mask, weight, random(3, seed=4)], id='modulated convolution')
    yield pytest.param(attend, list(attention_inputs()), id='deformable attention')


@on_each_device
@pytest.mark.parametrize(('function', 'inputs'), examples())
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_float_rounded_once(device, function, inputs, dtype):
    low = with_gradients([tensor.to(dtype) for tensor in inputs], device)
    high = with_gradients([tensor.detach().float() for tensor in low], device)
    found, expected = function(*low), function(*high)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected.to(dtype))
    found.backward(torch.ones_like(found))
    expected.backward(torch.ones_like(expected))
    for ours, theirs in zip(low, high, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad.to(dtype))


@on_each_device
@pytest.mark.parametrize(('function', 'inputs'), examples())
def test_reproducible_training(device, function, inputs, monkeypatch):
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # as MMEngine sets it for such runs
    found = []
    for deterministic in (False, True):
        leaves = with_gradients([tensor.clone().detach() for tensor in inputs], device)
        torch.use_deterministic_algorithms(deterministic)
        try:
            function(*leaves).sum().backward()
        finally:
            torch.use_deterministic_algorithms(False)
        found.append([leaf.grad for leaf in leaves])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.skipif(DEVICES == ['cpu'], reason='needs a GPU')
@pytest.mark.parametrize(('function', 'inputs'), examples())
def test_automatic_precision_on_a_gpu(function, inputs):
    leaves = with_gradients([tensor.float() for tensor in inputs], 'cuda')
    with torch.autocast('cuda', torch.float16):
        found = function(*leaves)
    torch.testing.assert_close(found.float(), function(*leaves), rtol=2e-2, atol=2e-2)
    found.float().sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)


def test_first_use_is_announced(monkeypatch):
    """Of each op, as its run may use no other."""
    for module, (function, inputs) in zip(
        ('focal_loss', 'deformable_convolution', 'deformable_convolution', 'deformable_attention'),
        (parameters.values for parameters in examples()),
        strict=True,
    ):
        said = []
        monkeypatch.setattr(f'uscl_plugin.compat.mmcv_ops.{module}.announce', lambda said=said: said.append(1))
        function(*inputs)
        assert said, module


def test_settings_that_shapes_tell_are_ignored():
    (x, offset, weight), _ = layer_inputs(*LAYERS[0])
    outputs = [x.new_empty(2, 3, 5, 6) for _ in range(2)]
    geometry = dict(dH=1, dW=1, padH=1, padW=1, dilationH=1, dilationW=1)
    ext.deform_conv_forward(x, weight, offset, outputs[0], x, x, **geometry)
    ext.deform_conv_forward(
        *(x, weight, offset, outputs[1], x, x), **geometry, kW=3, kH=3, group=1, deformable_group=1, im2col_step=2
    )
    assert torch.equal(*outputs)
