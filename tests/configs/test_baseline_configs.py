"""The methods that USCL is compared with differ from it in the method alone, and their configs run."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS

from uscl.data.selection import stratified_subset
from uscl.data.video_split import split_videos
from uscl_plugin.datasets.pair_batch_sampler import PairBatchSampler

ROOT = Path(__file__).parents[2] / 'configs'
CONFIGS = sorted(path.name for path in (ROOT / 'baselines').glob('*.py'))
USCL = Config.fromfile(ROOT / 'uscl' / 'uscl_resnet18_1xb32-300e_us4-224px.py')
VIEWS = {'supervised': 1, 'temporal-ensembling': 1, 'ucl': 5, 'meta-uscl': 4}  # of an item; all others have two
LOSSES = {
    'supervised': {'loss'},
    'temporal-ensembling': {'loss_cls', 'loss_consistency', 'consistency_weight'},
    'pi-model': {'loss_cls', 'loss_consistency', 'consistency_weight'},
    'fixmatch': {'loss_cls', 'loss_unlabelled', 'mask_share'},
    'simclr': {'loss_contrastive', 'loss_cls'},
    'mocov2': {'loss'},
    'byol': {'loss'},
    'simsiam': {'loss'},
    'barlowtwins': {'loss'},
    'mocov3': {'loss'},
    'ivpp': {'loss_contrastive', 'pair_weight'},
    'ucl': {'loss', 'positive_similarity', 'negative_similarity'},
    'hico': {'loss_peer', 'loss_cross', 'loss_cls'},
    'meta-uscl': {'loss_contrastive', 'pair_weight', 'pair_weight_std'},
}


def method_of(name):
    return name.split('_')[0]


def load(name):
    return Config.fromfile(ROOT / 'baselines' / name)


def test_every_method_has_a_config():
    assert sorted(map(method_of, CONFIGS)) == sorted(LOSSES)


@pytest.mark.parametrize('name', CONFIGS)
def test_data_budget_backbone_and_optimiser_are_those_of_uscl(name):
    cfg = load(name)
    ours, theirs = USCL.train_dataloader.dataset, cfg.train_dataloader.dataset
    same = set(ours) - {'pipeline', 'samples_per_video', 'keep_unlabelled'}
    assert {key: theirs[key] for key in same} == {key: ours[key] for key in same}
    if method_of(name) == 'meta-uscl':  # which looks a step of SGD ahead
        assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4)
        assert cfg.auto_scale_lr == dict(base_batch_size=cfg.train_dataloader.batch_size, enable=True)
    else:
        assert cfg.optim_wrapper.optimizer == USCL.optim_wrapper.optimizer
    assert set(cfg.optim_wrapper) - set(USCL.optim_wrapper) <= ({'paramwise_cfg'} if 'simsiam' in name else set())
    assert cfg.model.backbone == USCL.model.backbone
    assert cfg.model.data_preprocessor.mean == USCL.model.data_preprocessor.mean
    assert cfg.model.data_preprocessor.std == USCL.model.data_preprocessor.std
    views = VIEWS.get(method_of(name), 2)
    assert cfg.train_dataloader.batch_size == 64 // views
    if method_of(name) != 'supervised':  # whose epoch depends on the number of labels
        samples = theirs.get('samples_per_video', 1)
        assert samples * views * cfg.train_cfg.max_epochs == 2 * 300
    (schedule,), (expected,) = cfg.param_scheduler, USCL.param_scheduler
    scale = cfg.train_cfg.max_epochs / 300
    for key in ('T_max', 'begin', 'end'):
        assert schedule[key] == expected[key] * scale


@pytest.mark.parametrize(
    ('sizes', 'labelled'),
    [
        ({'Reg': 11, 'Cov': 11, 'Ali': 168, 'Bli': 168, 'Ple': 167, 'Oth': 167}, 15),  # as even as can be
        ({'Reg': 11, 'Cov': 11, 'Ali': 110, 'Bli': 190, 'Ple': 190, 'Oth': 180}, 16),
        ({'Reg': 1, 'Cov': 21, 'Ali': 1, 'Bli': 639, 'Ple': 29, 'Oth': 1}, 17),
    ],
)
def test_an_epoch_of_supervised_has_as_many_views_as_one_of_uscl(sizes, labelled):
    """On US-4 at 1 %, as near as can be said without the sizes of its classes."""
    cfg = load(next(name for name in CONFIGS if method_of(name) == 'supervised'))
    dataset = cfg.train_dataloader.dataset
    sizes = {'Rb1': 13, 'Rb2': 13, 'Rb3': 13, 'Rb4': 12, 'Rb5': 12, 'F0_': 60, **sizes}
    sizes |= dict.fromkeys(('F1_', 'F2_', 'F3_', 'F4_'), 59)
    prefixes = {f'{prefix}{i}': prefix for prefix, size in sizes.items() for i in range(size)}
    assert len(prefixes) == 1051
    train = [video for video, part in split_videos(prefixes, 0.2, seed=0).items() if part == 'train']
    classes = [dataset.label_map[prefixes[video]] for video in train]
    kept = stratified_subset(train, classes, dataset.label_fraction, dataset.seed)
    assert len(kept) == labelled and abs(len(train) - 840) < 3
    assert 16 * dataset.samples_per_video == 2 * 840
    assert len(kept) * dataset.samples_per_video == pytest.approx(2 * len(train), rel=0.07)


@pytest.mark.parametrize('name', [name for name in CONFIGS if method_of(name) != 'fixmatch'])
def test_views_are_augmented_as_those_of_uscl(name):
    def augmentation(cfg):
        steps = cfg.train_dataloader.dataset.pipeline
        return [s for step in steps for s in step.get('transforms', [step]) if s.type in ours]

    ours = ('AntialiasedRandomResizedCrop', 'RandomFlip', 'Rotate', 'ColorJitter')
    assert augmentation(load(name)) == augmentation(USCL)


@pytest.mark.parametrize('name', CONFIGS)
def test_builds_and_learns_one_step(name, clusters):
    torch.manual_seed(0)
    cfg = load(name)
    init_default_scope(cfg.default_scope)
    cfg.train_dataloader.dataset.update(
        data_root=str(clusters), split=None, label_map=None, label_fraction=0.5, serialize_data=False
    )
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    method = method_of(name)
    samples = cfg.train_dataloader.dataset.get('samples_per_video', 1)
    videos = {dataset.get_data_info(i)['video_id'] for i in range(len(dataset))}
    assert len(dataset) == samples * len(videos)
    assert len(videos) == (len({'a', 'b'}) * 2 if method == 'supervised' else 7)  # half of 3 + 3 labelled, one not
    batch = default_collate([dataset[i] for i in range(4)])
    views = batch['inputs'] if isinstance(batch['inputs'], list) else [batch['inputs']]
    assert [tuple(view.shape) for view in views] == [(4, 3, 224, 224)] * VIEWS.get(method, 2)
    views = [view[..., ::4, ::4] for view in views]
    if 'input_size' in cfg.model:
        cfg.model.input_size = 56
    batch['inputs'] = views if isinstance(batch['inputs'], list) else views[0]

    model = MODELS.build(cfg.model)
    model.init_weights()
    if hasattr(model, 'start_training'):
        model.start_training(len(dataset), 4)
    losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
    assert set(losses) - {'accuracy'} == LOSSES[method]
    total = sum(value for key, value in losses.items() if 'loss' in key)
    total.backward()
    gradient = sum(p.grad.abs().sum() for p in model.backbone.parameters())
    assert total.isfinite() and gradient.isfinite() and gradient > 0


def test_views_of_a_weak_and_strong_pair_differ(clusters):
    cfg = load(next(name for name in CONFIGS if method_of(name) == 'fixmatch'))
    init_default_scope(cfg.default_scope)
    cfg.train_dataloader.dataset.update(data_root=str(clusters), split=None, label_map=None)
    weak, strong = DATASETS.build(cfg.train_dataloader.dataset)[0]['inputs']
    assert not torch.equal(weak, strong)


@pytest.mark.parametrize(('samples', 'frames'), [(1, 1), (1, 3), (10, 1), (10, 3)])
def test_the_ablation_of_the_paper_is_two_switches(clusters, samples, frames):
    cfg = Config.fromfile(ROOT / 'uscl' / 'uscl_resnet18_1xb32-300e_us4-224px.py')
    cfg.merge_from_dict(
        {
            'train_dataloader.dataset.data_root': str(clusters),
            'train_dataloader.dataset.split': None,
            'train_dataloader.dataset.label_map': None,
            'train_dataloader.dataset.samples_per_video': samples,
            'train_dataloader.dataset.steps.SampleVideoFrames.num_frames': frames,
        }
    )
    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    item = dataset[0]['data_samples']
    assert len(item.mix_ratios) == (2 if frames == 3 else 0)
    sampler = PairBatchSampler(torch.utils.data.SequentialSampler(dataset), 32)
    batches = [[dataset.get_data_info(i)['video_id'] for i in batch] for batch in sampler]
    assert any(len(set(batch)) < len(batch) for batch in batches) == (samples > 1)
