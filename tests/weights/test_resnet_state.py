"""Which tensors are the backbone: choices, damage, and what is left; libraries are in test_import_layouts.py."""

import pytest
import torch
import torchvision

from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.resnet_state import backbone_state, find_backbone, infer_resnet_depth, resnet_shapes


def zeros(prefix='', depth=18, value=0.0):
    return {prefix + name: torch.full(shape, value) for name, shape in resnet_shapes(depth).items()}


def numbered(prefix):
    places = {
        name: number for number, name in enumerate(('conv1', 'bn1', '', '', 'layer1', 'layer2', 'layer3', 'layer4'))
    }
    return {f'{prefix}{places[name.split(".")[0]]}.{name.split(".", 1)[1]}': value for name, value in zeros().items()}


def test_choice_is_said_and_can_be_changed():
    state = zeros('student.') | zeros('teacher.', value=1.0) | {'student.head.bias': torch.zeros(2)}
    found = find_backbone(state)
    assert '"student." was used and "teacher." ignored' in found.choice
    assert found.left == {'student.head': 1, 'teacher.': 120}
    other = find_backbone(state, 'teacher')
    assert other.prefix == 'teacher.' and bool((other.state['conv1.weight'] == 1).all())
    with pytest.warns(UserWarning, match=r'"student\."'):
        backbone_state(state)
    assert find_backbone(zeros('backbone.')).choice is None


def test_bare_network_beside_another():
    found = find_backbone(zeros() | zeros('momentum_encoder.', value=1.0) | {'fc.bias': torch.zeros(2)})
    assert (found.prefix, found.passed_over, len(found.state)) == ('', ('momentum_encoder.',), 120)


def test_same_tensors_under_two_names_are_no_choice():
    assert find_backbone(zeros('encoder_q.') | zeros('net.')).choice is None
    with pytest.raises(CheckpointError, match=r'"a\.", "b\.".*--prefix'):
        find_backbone(zeros('a.') | zeros('b.', value=1.0))


def test_a_backbone_of_another_kind_is_not_replaced():
    state = {'backbone.cls_token': torch.zeros(1)} | zeros('tokenizer.')
    assert list(find_backbone(state).state) == ['cls_token']


@pytest.mark.parametrize('make', [lambda: zeros('backbone.'), lambda: numbered('backbone.'), lambda: numbered('')])
@pytest.mark.parametrize('lost', [0, 1, 60, 118])
def test_damage_is_listed(make, lost):
    state = make()
    names = list(state)
    assert infer_resnet_depth(find_backbone(state).state) == 18
    tensor = state.pop(names[lost])
    with pytest.raises(CheckpointError, match='1 missing'):
        infer_resnet_depth(find_backbone(state).state)
    state[names[lost]] = tensor.new_zeros((*tensor.shape, 2))
    with pytest.raises(CheckpointError, match='1 of another shape'):
        infer_resnet_depth(find_backbone(state).state)


@pytest.mark.parametrize('extra', ['backbone.4.0.se.weight', 'backbone.9.weight', 'backbone.3.weight'])
def test_what_is_left_over_in_a_numbered_backbone_is_an_error(extra):
    with pytest.raises(CheckpointError, match=r'1 left over'):
        infer_resnet_depth(find_backbone(numbered('backbone.') | {extra: torch.zeros(1)}).state)


def test_counters_that_old_files_lack_are_zero():
    """As in torchvision's first ImageNet weights, of before torch 0.4.1."""
    network = torchvision.models.resnet18().state_dict()
    old = {name: tensor for name, tensor in network.items() if 'num_batches_tracked' not in name}
    state = backbone_state(old)
    assert infer_resnet_depth(state) == 18
    counters = [tensor for name, tensor in state.items() if 'num_batches_tracked' in name]
    assert len(counters) == 20 and all(tensor.dtype == torch.int64 and tensor == 0 for tensor in counters)
