import json

import pytest
from torch import nn

import uscl_plugin.compat.mmcv_ops  # noqa: F401
from uscl_plugin.detection.lesion_check_hook import check_apart, check_heads


def detector(classes=1):
    """The parts of a detector that the hook looks at."""
    box, mask, rpn = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    box.num_classes, mask.num_classes, rpn.num_classes = classes, classes, 1
    heads = nn.ModuleDict({'bbox_head': box, 'mask_head': mask})
    return nn.ModuleDict({'rpn_head': rpn, 'roi_head': heads, 'norm': nn.BatchNorm1d(3)})


@pytest.mark.parametrize('classes', [1, 2, 3])
def test_heads_must_have_the_classes_of_the_data(classes):
    check_heads(detector(classes), classes)
    for other in {1, 2, 3} - {classes}:
        message = rf'model.roi_head.bbox_head .*{classes}, .*{other} classes'
        with pytest.raises(ValueError, match=message):
            check_heads(detector(classes), other)


def write(path, *images):
    path.write_text(json.dumps({'images': [dict(file_name=name, patient_id=patient) for name, patient in images]}))
    return path


def test_nothing_is_on_both_sides(tmp_path):
    train = write(tmp_path / 'train.json', ('a.png', 'p'), ('b.png', None))
    check_apart(train, write(tmp_path / 'val.json', ('c.png', 'q'), ('d.png', None)))
    with pytest.raises(ValueError, match=r"image 'b.png' .*train.json .*other.json"):
        check_apart(train, write(tmp_path / 'other.json', ('b.png', 'q')))
    with pytest.raises(ValueError, match=r"patient 'p' .*train.json "):
        check_apart(train, write(tmp_path / 'third.json', ('e.png', 'p')))
