"""The configs say what the paper and the released code say, and MMPretrain's own tools run them."""

import math
import re
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import mmpretrain
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import CosineAnnealingLR
from mmengine.registry import FUNCTIONS, init_default_scope
from mmpretrain.registry import DATASETS, MODELS

FOLDER = Path(__file__).parents[2] / 'configs' / 'uscl'
CONFIGS = sorted(path.name for path in FOLDER.glob('uscl_*.py'))
MAIN = 'uscl_resnet18_1xb32-300e_us4-224px.py'
OUR_TRAIN = FOLDER.parents[1] / 'tools' / 'train.py'
HOST_TRAIN = Path(mmpretrain.__file__).parent / '.mim' / 'tools' / 'train.py'


def load(name):
    return Config.fromfile(FOLDER / name)


def test_numbers_of_the_paper():
    cfg = load(MAIN)
    assert cfg.train_dataloader.batch_size == 32
    assert cfg.train_cfg.max_epochs == 300
    assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=3e-4, weight_decay=1e-4, fused=True)
    assert cfg.model.head.loss_contrastive.temperature == 0.5
    assert cfg.model.head.cls_weight == 0.2
    assert cfg.train_dataloader.dataset.label_fraction == 0.01
    assert cfg.model.backbone.depth == 18
    assert (cfg.model.data_preprocessor.mean, cfg.model.data_preprocessor.std) == ([127.5] * 3, [63.75] * 3)
    mix = next(step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'MixFrames')
    assert (mix.alpha, mix.beta, mix.shared_ratio) == (0.5, 0.5, False)


@pytest.mark.parametrize(
    'name, classes',
    [('us4', 12), ('us4-clust', 5), ('us4-liver-fibrosis', 5), ('us4-butterfly', 2), ('us4-covid19-lusms', 4)],
)
def test_labels_of_us4_and_its_four_parts(name, classes):
    cfg = load(f'uscl_resnet18_1xb32-300e_{name}-224px.py')
    dataset = cfg.train_dataloader.dataset
    assert cfg.model.head.num_classes == classes
    assert sorted(set(dataset.label_map.values())) == list(range(classes))
    if name != 'us4':
        assert set(dataset.filter_cfg.labels) == set(dataset.label_map)


def test_learning_rate_is_that_of_the_released_loop():
    parameter = torch.nn.Parameter(torch.zeros(1))
    theirs = torch.optim.Adam([parameter], 3e-4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=300, eta_min=0)
    expected = []
    for epoch in range(300):
        expected.append(theirs.param_groups[0]['lr'])
        theirs.step()
        if epoch >= 10:  # its "warm-up"
            cosine.step()
    assert expected[10] == 3e-4 > expected[11]

    ours = torch.optim.Adam([parameter], 3e-4)
    settings = dict(load(MAIN).param_scheduler[0])
    assert settings.pop('type') == 'CosineAnnealingLR'
    scheduler = CosineAnnealingLR(ours, **settings)
    found = []
    for _ in range(300):
        found.append(ours.param_groups[0]['lr'])
        ours.step()
        scheduler.step()
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found[-1] == pytest.approx(3e-4 * (1 + math.cos(math.pi * 289 / 300)) / 2)


@pytest.mark.parametrize('name', CONFIGS)
def test_every_config_builds_and_computes_its_losses(name, clusters):
    cfg = load(name)
    init_default_scope(cfg.default_scope)
    dataset_cfg = cfg.train_dataloader.dataset
    dataset_cfg.update(data_root=str(clusters), split=None, filter_cfg=None, label_map=None, label_fraction=1.0)
    dataset = DATASETS.build(dataset_cfg)
    size = 64 if 'demo' in name or '64px' in name else 224
    item = dataset[0]
    assert [tuple(view.shape) for view in item['inputs']] == [(3, size, size)] * 2
    sample = item['data_samples']
    assert (sample.video_id, sample.patient_id, sample.gt_label.tolist()) == ('a/v0', 'p0', [0])
    assert len(sample.frame_inds) == 3 and len(sample.mix_ratios) == 2
    assert (sample.mix_ratios[0] == sample.mix_ratios[1]) == ('released' in name)

    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    collate = FUNCTIONS.get(cfg.train_dataloader.collate_fn.type)
    batch = model.data_preprocessor(collate([dataset[i] for i in range(2)]))
    batch['inputs'] = [view[..., :64, :64] for view in batch['inputs']]
    losses = model(**batch, mode='loss')
    # untrained: near log(2N - 1) with N = 2, and 2 λ log(K)
    assert losses['loss_contrastive'].item() == pytest.approx(math.log(3), abs=0.6)
    assert losses['loss_cls'].item() == pytest.approx(0.4 * math.log(cfg.model.head.num_classes), rel=0.5)


def test_paper_mixes_then_augments_and_released_augments_then_mixes():
    def steps(name):
        return [step.type for step in load(name).train_dataloader.dataset.pipeline]

    assert steps(MAIN)[2:4] == ['MixFrames', 'TransformBroadcaster']
    assert steps('uscl_resnet18_1xb32-300e_us4-224px_released.py')[2:4] == ['TransformBroadcaster', 'MixFrames']


def test_rotation_is_uniform_within_ten_degrees(monkeypatch):
    init_default_scope('mmpretrain')
    from mmpretrain.registry import TRANSFORMS

    (settings,) = (step for step in load(MAIN).spg_augmentation if step.type == 'Rotate')
    rotate = TRANSFORMS.build(settings)
    angles = []
    monkeypatch.setattr('mmcv.imrotate', lambda img, angle, **_: angles.append(angle) or img)
    np.random.seed(0)
    for _ in range(2000):
        rotate(dict(img=np.zeros((4, 4, 3), np.uint8)))
    assert len(angles) == 2000
    assert -10 <= min(angles) < -9.9 and 9.9 < max(angles) <= 10
    assert abs(np.mean(angles)) < 0.6 and np.std(angles) == pytest.approx(20 / math.sqrt(12), rel=0.05)


def arguments(clusters, work_dir, epochs):
    return [
        str(FOLDER / 'uscl_resnet18_demo.py'), '--work-dir', str(work_dir), *['--resume'] * (epochs > 1),
        '--cfg-options', f'train_dataloader.dataset.data_root={clusters}', 'train_dataloader.batch_size=4',
        'model.head.num_classes=2', f'train_cfg.max_epochs={epochs}',
        'default_hooks.checkpoint.interval=1', 'model.backbone.base_channels=16', 'model.backbone.stem_channels=16',
        'model.neck.in_channels=128', 'model.head.in_channels=128',
    ]  # fmt: skip


@pytest.fixture
def our_train(monkeypatch, tmp_path):
    """A function that runs tools/train.py as a script, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*given):
        monkeypatch.setattr(sys, 'argv', [str(OUR_TRAIN), *map(str, given)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(OUR_TRAIN), run_name='__main__')
        return ended.value.code

    return run


def test_mmpretrains_own_train_runs_our_config_and_our_tool_resumes_it(clusters, tmp_path, our_train, capfd):
    named = [f'default_hooks.held_out.data_root={clusters}', 'default_hooks.held_out.split=None']
    named += ['train_dataloader.dataset.steps.AntialiasedRandomResizedCrop.scale=32']
    command = [sys.executable, str(HOST_TRAIN), *arguments(clusters, tmp_path, 1), *named]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'Held out, epoch 1' in done.stdout + done.stderr
    (picture,) = tmp_path.rglob('positive_pairs_1.png')
    assert cv2.imread(str(picture)).shape == (2 * 32 + 4, 4 * 32 + 3 * 4, 3)
    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    assert checkpoint['meta']['epoch'] == 1 and 'backbone.conv1.weight' in checkpoint['state_dict']

    assert our_train(*arguments(clusters, tmp_path, 2)) == 0
    assert 'resumed epoch: 1' in ''.join(capfd.readouterr())
    assert torch.load(tmp_path / 'epoch_2.pth', weights_only=True)['meta']['epoch'] == 2


class Planted:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize('option', ['load_from', 'model.backbone.init_cfg.checkpoint'])
def test_pickled_code_in_a_starting_checkpoint_is_not_executed(clusters, tmp_path, our_train, option, capsys):
    torch.save({'state_dict': {}, 'planted': Planted(tmp_path / 'executed')}, tmp_path / 'evil.pth')
    options = [f'{option}={tmp_path / "evil.pth"}']
    if option != 'load_from':
        options.append('model.backbone.init_cfg.type=Pretrained')
    options += [f'train_dataloader.dataset.data_root={clusters}', 'model.head.num_classes=2', 'train_cfg.max_epochs=1']
    assert our_train(FOLDER / 'uscl_resnet18_demo.py', '--work-dir', tmp_path, '--cfg-options', *options) == 1
    assert re.search(r'error: \S*evil.pth .*pickled code', capsys.readouterr().err)
    assert not (tmp_path / 'executed').exists()
