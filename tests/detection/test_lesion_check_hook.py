import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import uscl_plugin.compat.mmcv_ops  # noqa: F401
from uscl_plugin.detection.lesion_check_hook import LesionCheckHook, check_apart, check_heads


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


def test_a_test_wants_every_tensor_of_the_model():
    model = detector()
    runner = SimpleNamespace(model=model, _train_loop={'type': 'not built'})
    state = model.state_dict()
    hook = LesionCheckHook()
    hook.after_load_checkpoint(runner, {'state_dict': state})
    without_counters = {name: tensor for name, tensor in state.items() if 'num_batches' not in name}
    hook.after_load_checkpoint(runner, {'state_dict': without_counters})
    part = {name: tensor for name, tensor in state.items() if name.startswith('rpn_head')}
    for wrong in (part, {**state, 'roi_head.bbox_head.weight': torch.zeros(5, 5)}):
        with pytest.raises(ValueError, match=r'roi_head.bbox_head.weight'):
            hook.after_load_checkpoint(runner, {'state_dict': wrong})
    runner._train_loop = object()  # a training may start from a part
    hook.after_load_checkpoint(runner, {'state_dict': part})
