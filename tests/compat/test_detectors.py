"""The detectors of docs/mmdetection.md: each is built, trains one step, predicts, and uses the ops on the page."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from uscl_plugin.compat.mmcv_ops import ext

PAGE = Path(__file__).parents[2] / 'docs' / 'mmdetection.md'
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
# What the page calls the functions of the stand-in.
OPS = {
    'nms': 'NMS',
    'roi_align': 'RoIAlign',
    'sigmoid_focal_loss': 'focal loss',
    'deform_conv': 'deformable convolution',
    'modulated_deform_conv': 'modulated convolution',
    'ms_deform_attn': 'deformable attention',
}
QUICK = {
    *('RetinaNet', 'FCOS', 'ATSS', 'Deformable DETR', 'DINO', 'Mask2Former'),
    *('Faster R-CNN, deformable convolutions', 'Mask R-CNN, modulated convolutions'),
}
SIZE = 64


def table():
    """Name, config and ops of each row."""
    rows = re.findall(r'^\| (.+?) +\| `(\S+\.py)` +\| (.+?) +\|$', PAGE.read_text(encoding='utf-8'), re.MULTILINE)
    for name, config, ops in rows:
        yield pytest.param(config, ops, id=name, marks=[] if name in QUICK else [pytest.mark.slow])


def small(value, key='', *, depth):
    """The config of a model, with a ResNet of this depth, for one small image on a CPU."""
    if isinstance(value, dict):
        if value.get('type') == 'ResNet':
            value = value | {'depth': depth}
        if 'layer_cfg' in value and 'num_layers' in value:
            value = value | {'num_layers': min(value['num_layers'], 2)}
        if isinstance(value.get('init_cfg'), dict) and value['init_cfg'].get('type') == 'Pretrained':
            value = value | {'init_cfg': None}
        return type(value)({name: small(entry, name, depth=depth) for name, entry in value.items()})
    if key == 'batch_augments':  # they pad to the size of the published training
        return None
    if key == 'in_channels' and depth == 18 and 2048 in (value if isinstance(value, list) else [value]):
        return [width // 4 for width in value] if isinstance(value, list) else value // 4
    if isinstance(value, list | tuple):
        return type(value)(small(entry, key, depth=depth) for entry in value)
    if key == 'score_thr':
        return 0.0  # so that an untrained network finds something
    limits = {'num_queries': 20, 'num_proposals': 20, 'max_per_img': 5, 'num_points': 64}
    return min(value, limits[key]) if key in limits else value


def lesion(size, with_mask):
    """An image with one bright ellipse, and its annotation."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    rows, columns = np.mgrid[:size, :size]
    mask = ((rows - size / 2) / (size / 5)) ** 2 + ((columns - size / 2) / (size / 3)) ** 2 < 1
    image = torch.randint(0, 60, (3, size, size), dtype=torch.uint8) + torch.as_tensor(mask * 120).to(torch.uint8)
    box = [columns[mask].min(), rows[mask].min(), columns[mask].max() + 1, rows[mask].max() + 1]
    shape = (size, size)
    sample = DetDataSample(
        metainfo=dict(
            img_id=0,
            img_shape=shape,
            ori_shape=shape,
            batch_input_shape=shape,
            scale_factor=(1, 1),
            border=np.array([0.0, size, 0, size], dtype=np.float32),
        )
    )
    sample.gt_instances = InstanceData(bboxes=torch.tensor([box], dtype=torch.float32), labels=torch.tensor([1]))
    if with_mask:
        sample.gt_instances.masks = BitmapMasks(mask[None].astype(np.uint8), size, size)
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    return {'inputs': [image], 'data_samples': [sample]}


@pytest.fixture(autouse=True)
def scope():
    """What a run sets; TOOD wants to know the epoch."""
    MessageHub.get_current_instance().update_info('epoch', 0)
    DefaultScope.get_instance('mmdet', scope_name='mmdet')


@pytest.fixture
def called(monkeypatch):
    """Names of the ops that were called, on a CPU also those that MMDetection and mmcv only call on a GPU."""
    from mmcv.ops import multi_scale_deform_attn
    from mmdet.models.losses import focal_loss

    names = set()
    for name in ext.__all__:
        op = getattr(ext, name)
        monkeypatch.setattr(ext, name, lambda *args, name=name, op=op, **kwargs: names.add(name) or op(*args, **kwargs))
    if DEVICE == 'cpu':
        python_loss = focal_loss.py_sigmoid_focal_loss
        python_attention = multi_scale_deform_attn.multi_scale_deformable_attn_pytorch

        def loss(pred, target, *args, **kwargs):
            if target.dtype != torch.int64:  # not made from labels for this function
                return python_loss(pred, target, *args, **kwargs)
            labels = torch.where(target.any(1), target.argmax(1), target.shape[1])
            return focal_loss.sigmoid_focal_loss(pred, labels, *args, **kwargs)

        def attention(value, shapes, locations, weights):
            if isinstance(shapes, list):  # called by the stand-in
                return python_attention(value, shapes, locations, weights)
            op = multi_scale_deform_attn.MultiScaleDeformableAttnFunction
            return op.apply(value, shapes, None, locations, weights, 64)

        monkeypatch.setattr(focal_loss, 'py_sigmoid_focal_loss', loss)
        monkeypatch.setattr(multi_scale_deform_attn, 'multi_scale_deformable_attn_pytorch', attention)
    return names


@pytest.mark.parametrize(('config', 'ops'), table())
def test_detector(config, ops, called):
    import mmdet.models
    from mmdet.registry import MODELS

    cfg = Config.fromfile(Path(mmdet.__file__).parent / '.mim' / 'configs' / config)
    depth = 50 if cfg.model.backbone.get('dcn') else 18  # basic blocks have no deformable convolutions
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(small(cfg.model, depth=depth))).to(DEVICE)
    if 'decoder' in cfg.model:
        model.init_weights()  # before that, a DETR has parameters without values
    with_mask = any(step.get('with_mask') for step in cfg.train_pipeline)

    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-3), clip_grad=dict(max_norm=1))
    weight = model.backbone.state_dict()
    before = {name: tensor.clone() for name, tensor in weight.items() if name.endswith('weight')}
    logged = model.train().train_step(lesion(SIZE, with_mask), optimizer)
    assert all(torch.as_tensor(value).isfinite().all() for value in logged.values()), logged
    assert any(not torch.equal(weight[name], tensor) for name, tensor in before.items())

    with torch.no_grad():
        (result,) = model.eval().test_step(lesion(SIZE, with_mask))
    found = result.pred_instances
    assert len(found) and found.scores.isfinite().all()
    if with_mask:
        assert tuple(found.masks.shape) == (len(found), SIZE, SIZE)

    stems = {re.sub(r'_(forward|backward)\w*$', '', name) for name in called}
    assert ', '.join(OPS[name] for name in OPS if name in stems) == ops.replace('none', '')
