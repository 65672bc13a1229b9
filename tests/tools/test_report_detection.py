import json

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from tool_module import load_tool

import uscl_plugin.compat.mmcv_ops  # noqa: F401

tool = load_tool('tools/analysis/report_detection.py')

CONFIG = """
default_scope = 'mmdet'
custom_imports = dict(imports=['uscl_plugin', 'uscl_plugin.compat.mmcv_ops', 'uscl_plugin.detection'])
model = dict(type='MovedTruth', masks=True)
test_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dict(
        type='LesionDataset', data_root={root!r}, ann_file='annotations/val.json', data_prefix=dict(img='images/'),
        metainfo=dict(classes=('lesion',)), test_mode=True, pipeline=[
            dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape'))]))
"""


class MovedTruth(torch.nn.Module):
    """A detector that finds every lesion, moved to the right by as many pixels as its checkpoint says."""

    def __init__(self, masks):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros(1))
        self.masks = masks

    def test_step(self, batch):
        from mmengine.structures import InstanceData

        shift = int(self.shift)
        for sample in batch['data_samples']:
            truth = sample.gt_instances
            boxes = truth.bboxes.tensor + torch.tensor([shift, 0, shift, 0])
            found = InstanceData(bboxes=boxes, labels=truth.labels, scores=torch.full((len(boxes),), 0.8))
            if self.masks:
                found.masks = torch.from_numpy(np.roll(truth.masks.to_ndarray(), shift, axis=2)).bool()
            sample.pred_instances = found
        return batch['data_samples']


@pytest.fixture
def setting(tmp_path):
    """Config and checkpoints: a perfect one, and one that is 10 pixels off; lesions of 40 x 40 pixels."""
    from mmdet.registry import MODELS

    MODELS.register_module(name='MovedTruth', module=MovedTruth, force=True)
    (tmp_path / 'images').mkdir()
    (tmp_path / 'annotations').mkdir()
    images, annotations = [], []
    for k, label in enumerate(['benign', 'malignant', 'normal'], start=1):
        cv2.imwrite(str(tmp_path / 'images' / f'{k}.png'), np.full((100, 120), 80, np.uint8))
        images.append(dict(id=k, file_name=f'{k}.png', width=120, height=100, label=label, patient_id='p'))
        if label != 'normal':
            mask = np.zeros((100, 120), np.uint8)
            mask[20:60, 30:70] = 1
            rle = coco_mask.encode(np.asfortranarray(mask))
            rle = dict(size=[100, 120], counts=rle['counts'].decode())
            annotations.append(dict(id=k, image_id=k, category_id=1, iscrowd=0, area=1600, bbox=[30, 20, 40, 40]))
            annotations[-1]['segmentation'] = rle
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='lesion')])
    (tmp_path / 'annotations' / 'val.json').write_text(json.dumps(content))
    (tmp_path / 'config.py').write_text(CONFIG.format(root=str(tmp_path)))
    for name, shift in {'exact': 0.0, 'off': 10.0}.items():
        torch.save({'state_dict': {'shift': torch.tensor([shift])}}, tmp_path / f'{name}.pth')
    return tmp_path


def arguments(folder, checkpoint, *more):
    return [str(folder / 'config.py'), str(folder / checkpoint), '--out', str(folder / 'out' / 'page.html'), *more]


def test_numbers_come_from_the_checkpoint(setting, capsys):
    # 10 of 40 pixels off: IoU 30 / 50, so thresholds 0.5, 0.55 and 0.6 are reached.
    for name, ap, ap75 in [('exact', 1, 1), ('off', 0.3, 0)]:
        assert tool.main(arguments(setting, f'{name}.pth')) == 0
        numbers = json.loads((setting / 'out' / 'page.json').read_text())
        for kind in ('box', 'mask'):
            found = numbers[kind]
            assert (found['AP'], found['AP75'], found['AP50']) == pytest.approx((ap, ap75, 1), abs=1e-3)
            assert (found['hits'], found['false_positives_per_image']) == (2, 0)
        assert f'{name}.pth' in numbers['command'] and numbers['checkpoint'].endswith(f'{name}.pth')
        assert numbers['data']['images_by_label'] == {'benign': 1, 'malignant': 1, 'normal': 1}
        html = (setting / 'out' / 'page.html').read_text()
        assert numbers['command'] in html and html.count('image/jpeg') == 3
    assert 'mask: AP 30.0' in capsys.readouterr().out


def test_options_reach_the_run(setting):
    more = ('--num', '1', '--score', '0.9', '--cfg-options', 'model.masks=False')
    assert tool.main(arguments(setting, 'exact.pth', *more)) == 0
    numbers = json.loads((setting / 'out' / 'page.json').read_text())
    assert 'mask' not in numbers and numbers['score'] == 0.9
    assert (numbers['box']['AP'], numbers['box']['sensitivity']) == (pytest.approx(1), 0)
    assert (setting / 'out' / 'page.html').read_text().count('image/jpeg') == 1


def refused(setting, capsys, checkpoint='exact.pth', *more):
    assert tool.main(arguments(setting, checkpoint, *more)) == 1
    error = capsys.readouterr().err.splitlines()
    assert len([line for line in error if line.startswith('error: ')]) == 1 and 'Traceback' not in '\n'.join(error)
    assert not (setting / 'out').exists()
    return error[-1]


def test_errors_are_one_line(setting, capsys, root):
    assert 'none.pth does not exist' in refused(setting, capsys, 'none.pth')
    torch.save({'state_dict': {'shift': torch.zeros(1), 'x': torch.zeros(1)}}, setting / 'other.pth')
    assert 'other.pth does not fit the network, 1 left over (x): pass the config' in refused(
        setting, capsys, 'other.pth'
    )
    option = f'test_dataloader.dataset.data_root={setting / "nowhere"}'
    assert 'val.json does not exist' in refused(setting, capsys, 'exact.pth', '--cfg-options', option)
    torch.save({'state_dict': {'shift': torch.zeros(1)}, 'x': MovedTruth(True)}, setting / 'code.pth')
    assert 'contains pickled code' in refused(setting, capsys, 'code.pth')
    (setting / 'images' / '2.png').unlink()
    assert '2.png' in refused(setting, capsys)
    classifier = root / 'configs' / 'uscl' / 'uscl_resnet18_demo.py'
    assert tool.main([str(classifier), 'a.pth', '--out', str(setting / 'a.html')]) == 1
    assert 'is for mmpretrain, not for mmdet' in capsys.readouterr().err
    assert tool.main([str(setting / 'none.py'), 'a.pth']) == 1
    assert 'none.py does not exist' in capsys.readouterr().err


@pytest.mark.parametrize('wrong', [['--num', '0'], ['--score', '1.5'], ['--out', 'page.pdf']])
def test_wrong_requests(setting, capsys, wrong):
    with pytest.raises(SystemExit, match=r'2'):
        tool.main(arguments(setting, 'exact.pth', *wrong))
    assert wrong[0] in capsys.readouterr().err
