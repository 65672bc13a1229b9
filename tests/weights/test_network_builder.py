"""A file may describe a network of known parts; whatever else it names is refused, and nothing runs."""

import copy
import os
import re
import resource
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry

from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.network_builder import build_network, checked_config

CLASSIFIER = dict(
    type='ImageClassifier',
    data_preprocessor=dict(type='ClsDataPreprocessor', mean=[127.5] * 3, std=[63.75] * 3, to_rgb=True),
    backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='BN')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=64, loss=dict(type='CrossEntropyLoss')),
)


@pytest.fixture(scope='module')
def detector(root):
    import uscl_plugin.compat.mmcv_ops  # noqa: F401

    path = root / 'configs' / 'udiat_b' / 'mask-rcnn_r18_fpn_scratch_1xb2-30e_udiat-b.py'
    model = Config.fromfile(path).model.to_dict()
    model['backbone'].update(stem_channels=8, base_channels=8)
    model['neck']['in_channels'] = [8, 16, 32, 64]
    return model


def at(config, place):
    """The dict at a place such as ``head.loss``."""
    for name in place.split('.') if place else ():
        config = config[name]
    return config


def test_known_parts_are_built_as_the_host_builds_them(detector):
    from mmdet.registry import MODELS as DETECTORS
    from mmpretrain.registry import MODELS

    for host, registry, model in (('mmpretrain', MODELS, CLASSIFIER), ('mmdet', DETECTORS, detector)):
        ours = build_network(copy.deepcopy(model), 'a.pth', host)
        theirs = registry.build(ConfigDict(copy.deepcopy(model), _scope_=host))
        assert str(ours) == str(theirs)
        assert {k: v.shape for k, v in ours.state_dict().items()} == {
            k: v.shape for k, v in theirs.state_dict().items()
        }


def test_settings_of_the_training_and_initial_weights_are_left_out(detector):
    loading = dict(type='Pretrained', checkpoint='http://example.com/a.pth')
    for place in ('', 'backbone', 'head'):
        model = copy.deepcopy(CLASSIFIER)
        at(model, place)['init_cfg'] = loading
        model['train_cfg'] = dict(augments=dict(type='os.system'))
        network = build_network(model, 'a.pth', 'mmpretrain')
        assert 'http' not in str(network.init_cfg) + str(network.backbone.init_cfg) + str(network.head.init_cfg)
    model = copy.deepcopy(detector)
    model['train_cfg']['rcnn']['sampler'] = dict(type='os.system')
    assert build_network(model, 'a.pth', 'mmdet').train_cfg is None


PLANTS = [
    dict(type='os.system', command='touch planted'),
    dict(type='builtins.eval', source='open("planted", "w")'),
    dict(type='subprocess.Popen', args=['touch', 'planted']),
    dict(type='pathlib.Path.touch', self='planted'),
    dict(type='builtins.open', file='planted', mode='w'),
    dict(type='mmengine.Config.fromfile', filename='evil.py'),
    dict(type='evil'),  # a module beside the file
    dict(type='evil.run'),
    dict(type='torch.hub.load', repo_or_dir='.', model='evil', source='local'),
    dict(type='mmengine.ResNet'),
    dict(type='HuggingFaceClassifier', model_name='evil', pretrained=True),
    dict(type='AutoModelForCausalLM', name_or_path='evil'),
    dict(type=os.system, command='touch planted'),
    dict(type=None),
    dict(type=['ResNet']),
]
PLACES = ('', 'backbone', 'backbone.norm_cfg', 'neck', 'head', 'head.loss', 'data_preprocessor')


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A folder with a module that leaves a trace when imported; the test fails if there is one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    code = 'from pathlib import Path\nPath("planted").touch()\ndef run(*args, **kwargs): Path("planted").touch()\n'
    (tmp_path / 'evil.py').write_text(code)
    yield tmp_path
    assert not (tmp_path / 'planted').exists()


@pytest.mark.parametrize('plant', PLANTS, ids=lambda plant: str(plant['type']))
@pytest.mark.parametrize('place', PLACES)
def test_a_planted_command_does_not_run(trap, place, plant):
    model = copy.deepcopy(CLASSIFIER)
    at(model, place).clear()
    at(model, place).update(plant)
    with pytest.raises(CheckpointError, match=r'a\.pth') as caught:
        build_network(model, 'a.pth', 'mmpretrain')
    assert repr(plant['type']) in str(caught.value)


@pytest.mark.parametrize('plant', PLANTS[:8], ids=lambda plant: str(plant['type']))
@pytest.mark.parametrize(
    'place',
    [
        *('', 'backbone', 'neck', 'rpn_head', 'rpn_head.anchor_generator', 'roi_head.bbox_head.bbox_coder'),
        *('roi_head.bbox_roi_extractor.roi_layer', 'roi_head.mask_head', 'data_preprocessor', 'test_cfg.rcnn.nms'),
    ],
)
def test_a_command_planted_in_a_detector_does_not_run(trap, detector, place, plant):
    model = copy.deepcopy(detector)
    at(model, place).clear()
    at(model, place).update(plant)
    with pytest.raises(CheckpointError, match=r'b\.pth') as caught:
        build_network(model, 'b.pth', 'mmdet')
    assert repr(plant['type']) in str(caught.value)


def test_the_kind_of_nms_is_evaluated_by_mmcv_and_so_checked(trap, detector):
    model = copy.deepcopy(detector)
    model['test_cfg']['rpn']['nms']['type'] = '__import__("pathlib").Path("planted").touch'
    with pytest.raises(CheckpointError, match=r'b\.pth.*model\.test_cfg\.rpn\.nms\.type'):
        build_network(model, 'b.pth', 'mmdet')
    model['test_cfg']['rpn']['nms']['type'] = 'soft_nms'
    assert build_network(model, 'b.pth', 'mmdet').test_cfg.rpn.nms.type == 'soft_nms'


@pytest.mark.parametrize(
    'value',
    [
        *('../evil.py', 'evil.py', 'http://a/b', 'C:\\a', 'a.b', b'a', torch.nn.ReLU, {1, 2}, lambda: 1),
        *([1, 'a/b'], dict(a='a/b'), dict(a=[dict(type='os.system')])),
    ],
    ids=lambda value: re.sub(' at 0x.*', '', str(value)),
)
def test_values_that_are_not_plain_are_refused(trap, value):
    model = copy.deepcopy(CLASSIFIER)
    model['backbone']['style'] = value
    with pytest.raises(CheckpointError, match=r'a\.pth.*model\.backbone\.style'):
        build_network(model, 'a.pth', 'mmpretrain')


@pytest.mark.parametrize(
    ('place', 'setting'),
    [
        ('', dict(backbone=dict(type='ResNet', depth=18, codebook_init_path='evil'))),
        ('', dict(head=dict(type='VQAGenerationHead', decoder=None, inference_method='rank', answer_list_path='evil'))),
        ('head', dict(loss=dict(type='CrossEntropyLoss', weight_file='evil'))),
        ('backbone', dict(lang_model_name='evil')),
        ('backbone', dict(norm_cfg=dict(type='BN', url='evil'))),
    ],
)
def test_a_word_that_would_name_a_file_is_refused(trap, place, setting):
    model = copy.deepcopy(CLASSIFIER)
    at(model, place).update(setting)
    with pytest.raises(CheckpointError, match=r"a\.pth names 'evil' as model"):
        build_network(model, 'a.pth', 'mmpretrain')


@pytest.mark.parametrize(
    'part',
    [
        dict(type='CameraMotionCompensation', warp_mode='exit'),  # evaluates its setting
        dict(type='Detectron2Wrapper', detector=dict(), bgr_to_rgb=False),
        dict(type='GLIP', language_model=None),  # downloads word lists
    ],
    ids=lambda part: part['type'],
)
def test_parts_that_evaluate_or_download_are_refused(trap, detector, part):
    with pytest.raises(CheckpointError, match=rf"b\.pth names '{part['type']}' as model"):
        build_network(part, 'b.pth', 'mmdet')
    model = copy.deepcopy(detector)
    model['rpn_head']['bbox_coder'] = part
    with pytest.raises(CheckpointError, match=rf"b\.pth names '{part['type']}' as model"):
        build_network(model, 'b.pth', 'mmdet')


HUGE = [
    ('backbone', dict(base_channels=1 << 16)),
    ('backbone', dict(base_channels=10**12)),
    ('backbone', dict(depth=101, base_channels=1 << 12)),
    ('head', dict(in_channels=1 << 20, num_classes=1 << 20)),
    ('', dict(backbone=dict(type='VisionTransformer', arch='deit-t', img_size=1 << 20))),
    ('', dict(backbone=dict(type='ConvNeXt', arch=dict(depths=[1 << 20] * 4, channels=[1] * 4)))),
    ('', dict(neck=[dict(type='LinearNeck', in_channels=1 << 14, out_channels=1 << 14)] * 100)),
]


@pytest.mark.parametrize(('place', 'setting'), HUGE, ids=str)
def test_a_network_far_larger_than_its_file_is_refused_before_it_takes_memory(place, setting):
    state = build_network(CLASSIFIER, 'a.pth', 'mmpretrain').state_dict()
    build_network(CLASSIFIER, 'a.pth', 'mmpretrain', state)
    model = copy.deepcopy(CLASSIFIER)
    at(model, place).update(setting)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(CheckpointError, match=r'a\.pth'):
        build_network(model, 'a.pth', 'mmpretrain', state)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KB
    assert time.monotonic() - start < 20


def test_brackets_without_end_are_refused():
    nested = 1
    for _ in range(2000):
        nested = [nested]
    with pytest.raises(CheckpointError, match=r'a\.pth.*nesting'):
        build_network(CLASSIFIER | dict(backbone=nested), 'a.pth', 'mmpretrain')


def test_what_is_left_of_a_config_may_be_given_to_any_builder():
    backbone = copy.deepcopy(CLASSIFIER['backbone'])
    backbone['norm_cfg'] = dict(type='BN', init_cfg=dict(type='Pretrained', checkpoint='http://a/b'), _scope_='evil')
    assert checked_config(backbone, 'a.pth', 'mmpretrain') == CLASSIFIER['backbone']


def test_networks_of_timm_come_without_weights_or_addresses(trap):
    pytest.importorskip('timm')
    backbone = dict(type='TIMMBackbone', model_name='resnet10t', features_only=False, pretrained=True)
    backbone |= dict(checkpoint_path='evil.pth')
    model = CLASSIFIER | dict(backbone=backbone, head=CLASSIFIER['head'] | dict(in_channels=512))
    assert build_network(model, 'a.pth', 'mmpretrain').backbone.timm_model is not None
    for key, value in (('model_name', 'hf-hub:a/b'), ('model_name', 'local-dir:evil'), ('norm_layer', 'evil')):
        with pytest.raises(CheckpointError, match=rf'a\.pth.*backbone\.{key}'):
            build_network(model | dict(backbone=backbone | {key: value}), 'a.pth', 'mmpretrain')


def test_what_does_not_fit_is_named_with_the_file():
    with pytest.raises(CheckpointError, match=r'a\.pth.*depth 19'):
        build_network(CLASSIFIER | dict(backbone=dict(type='ResNet', depth=19)), 'a.pth', 'mmpretrain')


def test_a_class_that_the_user_has_registered_is_a_part(monkeypatch):
    from mmpretrain.registry import MODELS

    class Ours(torch.nn.Module):
        def forward(self, inputs):
            return (inputs,)

    monkeypatch.setitem(Registry.module_dict.fget(MODELS), 'Ours', Ours)
    assert isinstance(
        build_network(CLASSIFIER | dict(backbone=dict(type='Ours')), Path('a.pth'), 'mmpretrain').backbone, Ours
    )
