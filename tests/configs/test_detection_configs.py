import pytest
from mmengine.config import Config

pytest.importorskip('mmdet')
NAMES = {'udiat_b': 'udiat-b', 'busi': 'busi', 'bus_uclm': 'bus-uclm'}
KINDS = [
    ('mask', start, last) for start in ('scratch', 'imagenet', 'uscl') for last in ('', '_last3')
] + [('faster', start, '') for start in ('scratch', 'imagenet', 'uscl')]  # fmt: skip


def read(root, folder, detector, start, last):
    return Config.fromfile(
        root / 'configs' / folder / f'{detector}-rcnn_r18_fpn_{start}{last}_1xb2-30e_{NAMES[folder]}.py',
        import_custom_modules=False,
    )


@pytest.mark.parametrize('folder', NAMES)
@pytest.mark.parametrize(('detector', 'start', 'last'), KINDS)
def test_the_papers_numbers(root, folder, detector, start, last):
    cfg = read(root, folder, detector, start, last)
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=5e-4)
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (30, 2)
    assert [s.milestones for s in cfg.param_scheduler] == [[10, 20]]
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == f'data/{folder}'
        assert loader.dataset.metainfo.classes == ('lesion',)
    assert [step.type for step in cfg.train_dataloader.dataset.pipeline if 'Random' in step.type] == ['RandomFlip']
    backbone = cfg.model.backbone
    assert (backbone.depth, backbone.frozen_stages, backbone.norm_eval) == (18, -1, False)
    assert cfg.model.neck.in_channels == [64, 128, 256, 512]
    heads = [cfg.model.roi_head[name] for name in ('bbox_head', *['mask_head'] * (detector == 'mask'))]
    assert [head.num_classes for head in heads] == [1] * len(heads)
    mean = [123.675, 116.28, 103.53] if start == 'imagenet' else [127.5] * 3
    assert cfg.model.data_preprocessor.mean == mean
    assert (backbone.init_cfg is None) == (start == 'scratch')
    hooks = {hook.type: hook for hook in cfg.custom_hooks}
    assert ('FreezeHook' in hooks) == bool(last)
    assert 'BackboneCheckHook' in hooks
    if last:
        assert hooks['FreezeHook'].trainable[0] == 'backbone.layer4.1'
    assert cfg.custom_imports.imports == ['uscl_plugin', 'uscl_plugin.compat.mmcv_ops', 'uscl_plugin.detection']
