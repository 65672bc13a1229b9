"""The detector fits its data: masks or boxes alone, its categories, its best epoch."""

import json

import numpy as np
import pytest
from lesion_folders import make_uclm
from tool_module import load_tool

from uscl.options.finetuning_options import FinetuningOptions
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

pytest.importorskip('mmdet')
SCANS = {'ALWI': 'bm', 'ANAT': 'x', 'CAGO': 'bn', 'CASC': 'm', 'CHEL': 'bb'}


@pytest.fixture
def lesions(tmp_path):
    """A function that converts a few scans, with or without masks, and returns the folder."""

    def make(masks=True, classes=1):
        tool, out = load_tool('tools/dataset_converters/lesions_to_coco.py'), tmp_path / 'lesions'
        source = make_uclm(tmp_path / 'source', SCANS)
        settings = ['--out', str(out), '--no-overview', '--val', '2', '--classes', str(classes)]
        assert tool.main(['bus_uclm', str(source), *settings]) == 0
        for path in [] if masks else out.glob('annotations/*.json'):
            content = json.loads(path.read_text())
            for lesion in content['annotations']:
                del lesion['segmentation']
            path.write_text(json.dumps(content))
        return out

    return make


def make_config(data, tmp_path, **changes):
    from uscl_plugin.finetuning.final_detector import FinalDetector

    (tmp_path / 'run' / 'log').mkdir(parents=True)
    settings = {'source': 'random', 'task': 'detect', 'size': 64, 'workers': 0} | changes
    options = FinetuningOptions(data=str(data), out=str(tmp_path / 'run'), **settings)
    return FinalDetector(options).make_config()


@pytest.mark.parametrize('classes', [1, 2])
@pytest.mark.parametrize('masks', [True, False])
def test_the_config_fits_the_data(lesions, tmp_path, masks, classes):
    data = lesions(masks, classes)
    cfg = make_config(data, tmp_path, epochs=3)
    heads = {'bbox_head': classes} | ({'mask_head': classes} if masks else {})
    found = {
        name: cfg.model.roi_head[name].num_classes for name in ('bbox_head', 'mask_head') if name in cfg.model.roi_head
    }
    assert found == heads and ('segm' in cfg.val_evaluator.metric) == masks
    assert 'backbone.layer4.1' in cfg.default_hooks.freezing.trainable
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (3, 1)
    for loader, part in ((cfg.train_dataloader, 'train'), (cfg.val_dataloader, 'val'), (cfg.test_dataloader, 'val')):
        assert len(loader.dataset.metainfo.classes) == classes
        assert loader.dataset.ann_file == str(tmp_path / 'run' / 'log' / f'{part}.json')
        assert loader.dataset.data_root == str(data)
        assert [step.with_mask for step in loader.dataset.pipeline if step.type == 'LoadAnnotations'] == [masks]


def test_without_patients_to_choose_an_epoch_nothing_is_evaluated(lesions, tmp_path):
    cfg = make_config(lesions(), tmp_path, val_fraction=0.0)
    assert cfg.val_dataloader is None and cfg.val_cfg is None and cfg.val_evaluator is None
    content = json.loads((tmp_path / 'run' / 'log' / 'train.json').read_text())
    assert len(content['images']) == 8


@pytest.mark.slow
@pytest.mark.parametrize('masks', [True, False])
def test_a_detector_is_trained_kept_and_rebuilt_from_its_file(lesions, final, tmp_path, masks):
    data = lesions(masks)
    status, printed = final(data, tmp_path / 'run', task='detect', size=64, epochs=1)
    assert status == 0
    assert ('Mask R-CNN' if masks else 'Faster R-CNN') in printed
    assert printed.splitlines()[-3].startswith('reached: epoch 1 of 1, ' + ('mask AP' if masks else 'box AP'))
    out = tmp_path / 'run'
    assert {path.name for path in out.iterdir()} == {'model.pth', 'config.py', 'README.md', 'log'}
    from uscl_plugin.detection.lesion_detector import load_detector

    found = load_detector(out / 'model.pth').find(np.full((30, 40, 3), 90, np.uint8))
    assert found and all((lesion.mask is not None) == masks for lesion in found)
    meta = load_plain_checkpoint(out / 'model.pth')['meta']
    assert meta['dataset_meta']['classes'] == ('lesion',) and meta['epoch'] == 1
    assert 'object-detection' in (out / 'README.md').read_text()
    before = (out / 'model.pth').stat().st_mtime_ns
    assert final(data, out, task='detect', size=64, epochs=1)[0] == 0
    assert (out / 'model.pth').stat().st_mtime_ns == before
