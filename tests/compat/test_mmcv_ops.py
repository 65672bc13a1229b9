"""The stand-in for mmcv's compiled ops, through mmcv.ops and MMDetection as they call it."""

import itertools
import json
import math
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

import uscl_plugin.compat.mmcv_ops as stand_in
from uscl_plugin.compat.mmcv_ops import announcement, ext
from uscl_plugin.compat.mmcv_ops.__main__ import main

DEVICES = ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']


def reference_nms(boxes, scores, iou_threshold, offset=0, score_threshold=0.0, max_num=-1):
    """Go through the boxes by falling score and keep one unless its IoU with a kept one is above the threshold."""

    def area(x1, y1, x2, y2):
        return max(x2 - x1 + offset, 0) * max(y2 - y1 + offset, 0)

    def iou(a, b):
        shared = area(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
        return shared / (area(*a) + area(*b) - shared)

    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if (score_threshold <= 0 or scores[i] > score_threshold) and all(
            iou(boxes[i], boxes[j]) <= iou_threshold for j in kept
        ):
            kept.append(i)
    return kept[:max_num] if max_num > 0 else kept


def random_boxes(n, seed, dtype=torch.float32):
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 30, (n, 2)), rng.uniform(1, 25, (n, 2))
    return torch.tensor(np.hstack([corner, corner + size]), dtype=dtype), torch.tensor(rng.permutation(n) / n).to(dtype)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('iou_threshold', [0.1, 0.5, 0.7])
@pytest.mark.parametrize(('score_threshold', 'max_num'), [(0.0, -1), (0.5, -1), (0.25, 3)])
def test_nms_by_its_definition(device, dtype, offset, iou_threshold, score_threshold, max_num):
    from mmcv.ops import nms

    boxes, scores = random_boxes(40, seed=offset, dtype=dtype)
    dets, kept = nms(boxes.to(device), scores.to(device), iou_threshold, offset, score_threshold, max_num)
    assert kept.tolist() == reference_nms(
        boxes.tolist(), scores.tolist(), iou_threshold, offset, score_threshold, max_num
    )
    assert torch.equal(dets.cpu(), torch.cat([boxes, scores[:, None]], 1)[kept.cpu()])


@pytest.mark.parametrize(('offset', 'x2'), [(0, 4), (1, 3)])
def test_nms_keeps_a_box_at_the_threshold(offset, x2):
    from mmcv.ops import nms

    # The second box is half of the first, in lengths (offset 0) or in pixels (offset 1).
    boxes = torch.tensor([[0.0, 0, x2, x2], [0, 0, x2 / 2 - offset / 2, x2]])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.5, offset)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.49, offset)[1].tolist() == [0]


@pytest.mark.parametrize('split_thr', [10000, 10])
def test_batched_nms_takes_each_class_alone(split_thr):
    from mmcv.ops import batched_nms

    boxes, scores = random_boxes(30, seed=3)
    classes = torch.arange(30) % 3
    expected = []
    for label in range(3):
        own = (classes == label).nonzero().flatten()
        expected += [int(own[i]) for i in reference_nms(boxes[own].tolist(), scores[own].tolist(), 0.3)]
    expected.sort(key=lambda i: -scores[i])
    _, kept = batched_nms(boxes, scores, classes, dict(type='nms', iou_threshold=0.3, split_thr=split_thr, max_num=9))
    assert kept.tolist() == expected[:9]


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_nms_of_half_precision_is_that_of_its_values(device, dtype):
    from mmcv.ops import nms

    boxes, scores = random_boxes(40, seed=5, dtype=dtype)
    dets, kept = nms(boxes.to(device), scores.to(device), 0.4)
    assert kept.tolist() == reference_nms(boxes.tolist(), scores.tolist(), 0.4)
    assert dets.dtype == dtype


def test_nothing_in_nothing_out():
    from mmcv.ops import nms, roi_align

    dets, kept = nms(torch.zeros(0, 4), torch.zeros(0), 0.5, offset=1)
    assert dets.shape == (0, 5) and kept.shape == (0,) and kept.dtype == torch.int64
    features = torch.ones(2, 3, 8, 8, requires_grad=True)
    pooled = roi_align(features, torch.zeros(0, 5), (7, 7), 1.0, 0, 'avg', True)
    assert pooled.shape == (0, 3, 7, 7)
    pooled.sum().backward()
    assert torch.equal(features.grad, torch.zeros(2, 3, 8, 8))


def bilinear(plane, y, x):
    """Value of a plane (H, W) at a point; 0 more than one cell outside, the border's value closer by."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    top = plane[y0, x0] * (1 - x + x0) + plane[y0, x1] * (x - x0)
    bottom = plane[y1, x0] * (1 - x + x0) + plane[y1, x1] * (x - x0)
    return top * (1 - y + y0) + bottom * (y - y0)


def reference_roi_align(features, rois, size, scale, sampling_ratio, aligned):
    """Average of bilinear samples in each of the bins of each box (Mask R-CNN, Sec. 3)."""
    out = np.zeros((len(rois), features.shape[1], *size))
    for n, (index, *box) in enumerate(rois):
        x1, y1, x2, y2 = (side * scale - (0.5 if aligned else 0) for side in box)
        height, width = (y2 - y1, x2 - x1) if aligned else (max(y2 - y1, 1), max(x2 - x1, 1))
        bin_height, bin_width = height / size[0], width / size[1]
        rows, columns = (sampling_ratio or math.ceil(bin_height)), (sampling_ratio or math.ceil(bin_width))
        for c, i, j in itertools.product(*map(range, out.shape[1:])):
            samples = [
                bilinear(
                    features[int(index), c],
                    y1 + bin_height * (i + (row + 0.5) / rows),
                    x1 + bin_width * (j + (column + 0.5) / columns),
                )
                for row in range(rows)
                for column in range(columns)
            ]
            out[n, c, i, j] = sum(samples) / max(len(samples), 1)
    return out


ROIS = [
    [0, 3.1, 2.2, 17.3, 13.9],
    [1, 0.0, 0.0, 19.7, 15.7],
    [1, -6.3, -4.1, 8.2, 7.7],  # partly outside on two sides
    [0, 12.4, 9.3, 31.9, 30.2],  # and on the other two
    [0, 50.3, 50.3, 60.2, 60.2],  # outside
    [1, 5.2, 6.3, 5.2, 6.3],  # empty
    [0, 4.4, 3.2, 4.4, 11.1],  # no width
]


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 1, 2])
@pytest.mark.parametrize('scale', [1.0, 0.5, 0.25])
@pytest.mark.parametrize('size', [(2, 2), (3, 5)])
def test_roi_align_by_sampling(device, dtype, tolerance, aligned, sampling_ratio, scale, size):
    from mmcv.ops import RoIAlign

    features = torch.rand(2, 2, 8, 10, generator=torch.Generator().manual_seed(0), dtype=dtype)
    rois = torch.tensor(ROIS, dtype=dtype)
    expected = reference_roi_align(features.numpy(), rois.tolist(), size, scale, sampling_ratio, aligned)
    pooled = RoIAlign(size, scale, sampling_ratio, 'avg', aligned)(features.to(device), rois.to(device))
    assert pooled.dtype == dtype
    np.testing.assert_allclose(pooled.cpu().numpy(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
@pytest.mark.parametrize('scale', [1.0, 0.5])
def test_gradient_of_roi_align(device, aligned, sampling_ratio, scale):
    from mmcv.ops import roi_align

    features = torch.rand(2, 2, 6, 7, dtype=torch.float64, device=device, requires_grad=True)
    rois = torch.tensor(ROIS, dtype=torch.float64, device=device)
    assert torch.autograd.gradcheck(
        lambda x: roi_align(x, rois, (2, 3), scale, sampling_ratio, 'avg', aligned),
        features,
        nondet_tol=0 if device == 'cpu' else 1e-12,
    )


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_roi_align_of_half_precision_rounds_once(device, dtype):
    from mmcv.ops import roi_align

    features = torch.rand(2, 2, 8, 10).to(device, dtype).requires_grad_()
    rois = torch.tensor(ROIS, device=device).to(dtype)
    slope = torch.rand(len(ROIS), 2, 3, 3).to(device, dtype)
    exact = features.detach().float().requires_grad_()
    pooled = roi_align(features, rois, (3, 3), 0.5, 0, 'avg', True)
    expected = roi_align(exact, rois.float(), (3, 3), 0.5, 0, 'avg', True)
    torch.testing.assert_close(pooled, expected.to(dtype), rtol=0, atol=0)
    pooled.backward(slope)
    expected.backward(slope.float())
    torch.testing.assert_close(features.grad, exact.grad.to(dtype))


@pytest.mark.parametrize('device', DEVICES)
def test_roi_align_of_mixed_precision_and_any_layout(device):
    from mmcv.ops import roi_align

    features = torch.rand(2, 4, 8, 10, device=device)
    rois = torch.tensor(ROIS, device=device)
    expected = roi_align(features, rois, (3, 3), 0.5, 0, 'avg', True)
    layout = features.to(memory_format=torch.channels_last)
    torch.testing.assert_close(roi_align(layout, rois, (3, 3), 0.5, 0, 'avg', True), expected, rtol=0, atol=0)
    half = roi_align(features.half(), rois, (3, 3), 0.5, 0, 'avg', True)
    torch.testing.assert_close(half.float(), expected, rtol=0, atol=1e-3)
    with torch.autocast(device, torch.bfloat16):
        torch.testing.assert_close(roi_align(features, rois, (3, 3), 0.5, 0, 'avg', True), expected)


@pytest.mark.parametrize('device', DEVICES)
def test_deterministic_gradient(device):
    from mmcv.ops import roi_align

    def gradient():
        features = torch.rand(2, 4, 8, 10, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
        rois = torch.tensor(ROIS, device=device)
        roi_align(features, rois, (7, 7), 1.0, 0, 'avg', True).square().sum().backward()
        return features.grad

    plain = gradient()
    torch.use_deterministic_algorithms(True)
    try:
        torch.testing.assert_close(gradient(), plain)
    finally:
        torch.use_deterministic_algorithms(False)


def test_missing_ops_say_so_when_they_are_called():
    from mmcv.ops import RoIAlign, RoIPool, soft_nms

    boxes, scores = random_boxes(3, seed=0)
    with pytest.raises(
        NotImplementedError, match=r"mmcv's op softnms is not .*install the compiled mmcv, .*mim install"
    ):
        soft_nms(boxes, scores)
    with pytest.raises(NotImplementedError, match=r'roi_pool_forward'):
        RoIPool(2)(torch.rand(1, 1, 5, 5), torch.zeros(1, 5))
    with pytest.raises(NotImplementedError, match=r"roi_align_forward with pool_mode='max'"):
        RoIAlign(2, 1.0, 0, pool_mode='max')(torch.rand(1, 1, 5, 5), torch.zeros(1, 5))
    with pytest.raises(NotImplementedError, match=r"roi_align_backward with pool_mode='max'"):
        ext.roi_align_backward(*[torch.zeros(1)] * 5, 1, 1, 1.0, 0, pool_mode=0, aligned=True)
    assert not hasattr(ext, '__path__')  # what the import system asks for


@pytest.mark.parametrize(
    ('versions', 'text'),
    [
        ({'onedl-mmcv': '2.3.6'}, 'with pip install openmim, mim install onedl-mmcv==2.3.6,'),
        ({'mmcv-lite': '2.1.0'}, 'with pip uninstall mmcv-lite, pip install openmim, mim install mmcv==2.1.0,'),
        ({'mmcv': '2.1.0'}, 'with pip install openmim, mim install mmcv==2.1.0,'),
    ],
)
def test_remedy_names_the_package_of_the_family(monkeypatch, versions, text):
    monkeypatch.setattr(ext, 'installed_versions', lambda: versions)
    with pytest.raises(NotImplementedError) as error:
        ext.some_op()
    assert text in str(error.value)


def test_log_names_the_stand_in_once(logged, monkeypatch):
    from mmcv.ops import nms

    announcement.announce.cache_clear()
    monkeypatch.setattr(announcement, 'reason', 'undefined symbol: f')
    boxes, scores = random_boxes(3, seed=0)
    for _ in range(2):
        nms(boxes, scores, 0.5)
    (message,) = logged
    assert 'come from torchvision' in message and 'undefined symbol: f' in message


def test_compiled_mmcv_wins(logged, monkeypatch):
    compiled = types.ModuleType('mmcv._ext')
    monkeypatch.setitem(sys.modules, 'mmcv._ext', compiled)
    stand_in.install()
    assert sys.modules['mmcv._ext'] is compiled and logged == ["mmcv's ops are the compiled ones."]


def test_installing_again_changes_nothing(logged):
    stand_in.install()
    assert sys.modules['mmcv._ext'] is ext and logged == []


def test_hosts_see_the_ops():
    from mmcv.utils.ext_loader import check_ops_exist
    from mmengine.utils.dl_utils.misc import mmcv_full_available

    assert mmcv_full_available() and check_ops_exist()


# What can be seen of the hosts: every class, function and module in their modules, and their registries.
SNAPSHOT = r"""
import json, sys, types
import mmcv.ops, mmdet.apis, mmdet.models, mmpretrain.models, uscl_plugin
from mmengine.registry import Registry

def describe(value):
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, type):
        return [f'{c.__module__}.{c.__qualname__}' for c in value.__mro__]
    if isinstance(value, Registry):
        return {name: f'{c.__module__}.{getattr(c, "__qualname__", c)}' for name, c in value.module_dict.items()}
    return f'{value.__module__}.{value.__qualname__}' if isinstance(value, types.FunctionType) else str(type(value))

hosts = {name: module for name, module in sys.modules.items() if name.startswith(('mmcv.', 'mmdet', 'mmpretrain'))}
print('SNAPSHOT' + json.dumps({f'{name}:{key}': describe(value) for name, module in hosts.items()
    for key, value in vars(module).items()
    if not key.startswith('__') and key not in ('ext_module', '_ext') and name != 'mmcv._ext'}))
"""
# A module without functions of ours, in its place before anything is imported.
EARLY = r"""
import importlib.machinery, sys, types
ext = sys.modules['mmcv._ext'] = types.ModuleType('mmcv._ext')
ext.__spec__ = importlib.machinery.ModuleSpec('mmcv._ext', object())
def op(name):
    if name.startswith('__'): raise AttributeError(name)
    return print
ext.__getattr__ = op
"""
ORDERS = {
    'stand-in first': 'import uscl_plugin.compat.mmcv_ops\n',
    'hosts first': (
        'import sys, mmpretrain.models\n'
        'try: import mmdet.models\nexcept ImportError as error: assert "mmcv._ext" in str(error)\n'
        'import uscl_plugin\n'
        'assert "mmcv._ext" not in sys.modules, "the plugin alone installed it"\n'
        'import uscl_plugin.compat.mmcv_ops\n'
    ),
}


def seen_after(code):
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code + SNAPSHOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.partition('SNAPSHOT')[2])


@pytest.fixture(scope='module')
def early():
    return seen_after(EARLY)


@pytest.mark.slow
@pytest.mark.parametrize('order', ORDERS)
def test_hosts_are_the_same_whatever_was_imported_first(early, order):
    late = seen_after(ORDERS[order])
    assert {name: (what, late.get(name)) for name, what in early.items() if late.get(name) != what} == {}
    assert len(early) > 5000 and 'mmdet.models.detectors.mask_rcnn:MaskRCNN' in early


def test_any_script_runs_with_the_stand_in(tmp_path, monkeypatch, capsys):
    (tmp_path / 'beside.py').write_text('')
    (tmp_path / 'script.py').write_text(
        'import sys, beside, mmcv.ops\nassert __name__ == "__main__"\nprint(sys.argv, sys.modules["mmcv._ext"])\n'
    )
    monkeypatch.setattr(sys, 'argv', ['before'])
    monkeypatch.setattr(sys, 'path', ['before', *sys.path])
    assert main([str(tmp_path / 'script.py'), '--option', 'x']) == 0
    assert capsys.readouterr().out == f'{[str(tmp_path / "script.py"), "--option", "x"]} {ext}\n'
    assert main([]) == 2 and capsys.readouterr().err.startswith('usage: ')
    assert main(['--help']) == 0 and capsys.readouterr().out.startswith('usage: ')
    assert main([str(tmp_path / 'none.py')]) == 1
    assert (
        capsys.readouterr().err == f'error: {tmp_path / "none.py"} does not exist: pass the path of a Python script.\n'
    )


@pytest.mark.slow
def test_command_line(tmp_path):
    (tmp_path / 'script.py').write_text('import sys, mmdet.apis\nfrom mmcv.ops import nms\nsys.exit(7)\n')
    command = [sys.executable, '-W', 'ignore', '-m', 'uscl_plugin.compat.mmcv_ops', tmp_path / 'script.py']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 7, done.stderr


@pytest.fixture(scope='module')
def mask_rcnn(tmp_path_factory):
    """MMDetection's Mask R-CNN with ResNet-18, by a config that asks for the stand-in."""
    from mmengine.config import Config

    path = tmp_path_factory.mktemp('config') / 'mask-rcnn.py'
    path.write_text(
        "_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'\n"
        "custom_imports = dict(imports=['uscl_plugin', 'uscl_plugin.compat.mmcv_ops'], allow_failed_imports=False)\n"
        'model = dict(backbone=dict(depth=18, init_cfg=None), neck=dict(in_channels=[64, 128, 256, 512]),\n'
        '    roi_head=dict(bbox_head=dict(num_classes=2), mask_head=dict(num_classes=2)),\n'
        '    train_cfg=dict(rcnn=dict(sampler=dict(num=32))))\n'
    )
    model = Config.fromfile(path).model
    import mmdet.models  # noqa: F401
    from mmdet.registry import MODELS

    torch.manual_seed(0)
    return MODELS.build(model)


def lesion(size):
    """An image with one bright ellipse, and its box and mask."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    rows, columns = np.mgrid[:size, :size]
    mask = ((rows - size / 2) / (size / 5)) ** 2 + ((columns - size / 2) / (size / 3)) ** 2 < 1
    image = torch.randint(0, 60, (3, size, size), dtype=torch.uint8) + torch.as_tensor(mask * 120).to(torch.uint8)
    box = [columns[mask].min(), rows[mask].min(), columns[mask].max() + 1, rows[mask].max() + 1]
    sample = DetDataSample(
        metainfo=dict(
            img_shape=(size, size), ori_shape=(size, size), batch_input_shape=(size, size), scale_factor=(1, 1)
        )
    )
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([box], dtype=torch.float32),
        labels=torch.tensor([1]),
        masks=BitmapMasks(mask[None].astype(np.uint8), size, size),
    )
    return image, sample


def test_mask_rcnn_trains(mask_rcnn):
    from mmengine.optim import OptimWrapper

    image, sample = lesion(128)
    batch = mask_rcnn.data_preprocessor(dict(inputs=[image], data_samples=[sample]), training=True)
    weight = mask_rcnn.backbone.layer4[-1].conv2.weight
    losses = mask_rcnn.loss(batch['inputs'], batch['data_samples'])
    # Proposals have no gradient, so what these losses send to the backbone went through RoIAlign.
    for name in ('loss_cls', 'loss_bbox', 'loss_mask'):
        (gradient,) = torch.autograd.grad(losses[name], weight, retain_graph=True)
        assert gradient.isfinite().all() and gradient.abs().max() > 0, name
    before = weight.detach().clone()
    wrapper = OptimWrapper(torch.optim.SGD(mask_rcnn.parameters(), lr=1e-3))
    logged = mask_rcnn.train_step(dict(inputs=[image], data_samples=[sample]), wrapper)
    assert all(torch.as_tensor(value).isfinite() for value in logged.values()) and 'loss_mask' in logged
    assert not torch.equal(weight, before)


def test_mask_rcnn_predicts(mask_rcnn):
    mask_rcnn.eval()
    image, sample = lesion(128)
    (result,) = mask_rcnn.test_step(dict(inputs=[image], data_samples=[sample]))
    found = result.pred_instances
    assert 0 < len(found) <= 100
    assert found.masks.shape == (len(found), 128, 128)
    assert ((found.scores >= 0.05) & (found.scores <= 1)).all()
    for label in found.labels.unique():  # NMS left no two boxes of a class that overlap by more than half
        own = found[found.labels == label]
        assert len(reference_nms(own.bboxes.tolist(), own.scores.tolist(), 0.5)) == len(own)
