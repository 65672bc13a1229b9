import json

import numpy as np
import pytest
import torch
from lesion_truth import ellipse, encode, write_truth
from mmengine.config import Config
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

import uscl_plugin.compat.mmcv_ops  # noqa: F401
from uscl.stats.detection_summary import summarise_detections
from uscl_plugin.detection.inference import coco_results, run_detector
from uscl_plugin.detection.lesion_metric import LesionCocoMetric

FOLDER = 'configs/udiat_b'


def sample(num, masks=True, seed=0):
    from mmdet.structures import DetDataSample

    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 20, (num, 2)), rng.uniform(1, 9, (num, 2))
    found = InstanceData(
        bboxes=torch.tensor(np.hstack([corner, corner + size]).reshape(-1, 4), dtype=torch.float32),
        scores=torch.tensor(rng.random(num)),
        labels=torch.tensor(rng.integers(0, 2, num)),
    )
    if masks:
        found.masks = torch.tensor(rng.random((num, 30, 40)) > 0.5)
    result = DetDataSample(metainfo=dict(img_id=7))
    result.pred_instances = found
    return result


@pytest.mark.parametrize('masks', [True, False])
@pytest.mark.parametrize('num', [0, 1, 4])
def test_results_are_those_of_the_sample(num, masks):
    given = sample(num, masks)
    results = coco_results(given, [5, 9])
    assert len(results) == num
    for k, result in enumerate(results):
        found = given.pred_instances[k]
        x1, y1, x2, y2 = found.bboxes[0].tolist()
        assert result['bbox'] == pytest.approx([x1, y1, x2 - x1, y2 - y1])
        assert (result['image_id'], result['category_id']) == (7, (5, 9)[int(found.labels)])
        assert result['score'] == pytest.approx(float(found.scores))
        assert ('segmentation' in result) == masks
        if masks:
            assert (coco_mask.decode(result['segmentation']) == found.masks[0].numpy()).all()
            assert encode(coco_mask.decode(result['segmentation'])) == result['segmentation']  # text, for JSON


def save(model, path):
    torch.save({'state_dict': model.state_dict()}, path)
    return path


def make_true(path, results):
    """Let an untrained network be right now and then: some of its predictions become lesions."""
    content = json.loads(path.read_text())
    content['annotations'] = []
    for number, result in enumerate(results, start=1):
        x, y, w, h = result['bbox']
        rle = result.get('segmentation') or encode(ellipse(int(x + w / 2), int(y + h / 2), int(w / 2), int(h / 2)))
        area = int(coco_mask.area(rle))
        entry = dict(id=number, image_id=result['image_id'], category_id=1, iscrowd=0, area=area)
        content['annotations'].append(entry | dict(bbox=result['bbox'], segmentation=rle))
    path.write_text(json.dumps(content))


@pytest.mark.parametrize('kind', ['faster', 'mask'])
def test_measures_are_those_of_mmdetections_test(root, tmp_path, kind):
    from mmdet.registry import MODELS
    from mmengine.runner import Runner

    cfg = Config.fromfile(root / FOLDER / f'{kind}-rcnn_r18_fpn_scratch_1xb2-30e_udiat-b.py')
    loader = cfg.test_dataloader
    loader.dataset.data_root = str(write_truth(tmp_path))
    loader.update(num_workers=0, persistent_workers=False)
    loader.dataset.steps = dict(Resize=dict(scale=(96, 80)))  # so that boxes and masks have to be scaled back
    cfg.model.backbone.base_channels, cfg.model.backbone.stem_channels = 16, 16
    cfg.model.neck.in_channels = [16, 32, 64, 128]
    cfg.model.roi_head.bbox_head.fc_out_channels = 16
    cfg.model.test_cfg.rpn.max_per_img = 100
    cfg.model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=15)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    if kind == 'mask':
        model.roi_head.mask_head.conv_logits.bias.data += 10  # else no pixel is in a mask
    found = run_detector(cfg, save(model, tmp_path / 'a.pth'))
    assert found.image_ids == [1, 2, 3, 4, 5, 6]
    make_true(tmp_path / 'annotations' / 'val.json', found.results[::3])
    found = run_detector(cfg, tmp_path / 'a.pth')
    assert len(found.results) > 20 and found.has_masks == (kind == 'mask')

    metric = LesionCocoMetric(metric=['bbox', 'segm'][: len(found.kinds)])
    batches = Runner.build_dataloader(loader)
    metric.dataset_meta = batches.dataset.metainfo
    model.eval()
    with torch.no_grad():
        for batch in batches:
            metric.process(batch, [entry.to_dict() for entry in model.test_step(batch)])
    expected = metric.evaluate(6)
    assert all(0.1 < expected[f'coco/{coco}_mAP'] < 0.9 for coco in found.kinds.values())
    summary = summarise_detections(found, 0.3)
    assert set(summary) - {'data', 'score'} == set(found.kinds)
    for name, coco in found.kinds.items():
        for ours, theirs in {'AP': 'mAP', 'AP50': 'mAP_50', 'AP75': 'mAP_75', 'AP_medium': 'mAP_m'}.items():
            value = -1 if summary[name][ours] is None else summary[name][ours]
            assert value == pytest.approx(expected[f'coco/{coco}_{theirs}'], abs=6e-4)  # three decimals


def test_data_of_another_kind(root, tmp_path):
    cfg = Config.fromfile(root / FOLDER / 'faster-rcnn_r18_fpn_scratch_1xb2-30e_udiat-b.py')
    from mmdet.registry import MODELS

    save(MODELS.build(cfg.model), tmp_path / 'a.pth')
    dataset = dict(cfg.test_dataloader.dataset, data_root=str(write_truth(tmp_path)))
    cfg.test_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=dataset)
    with pytest.raises(ValueError, match=r'RepeatDataset.*LesionDataset'):
        run_detector(cfg, tmp_path / 'a.pth')
