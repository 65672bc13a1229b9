"""A method's config on the common data, budget and seed."""

import pytest
from mmengine.config import Config

from uscl.options.common_settings import CommonSettings
from uscl_plugin.comparison.methods import BUILT_IN, parse_method
from uscl_plugin.comparison.pretraining_config import pretraining_config


def prepare(clusters, name, **settings):
    common = dict(pretrain_data=str(clusters), label_fraction=0.5, epochs=20, batch_size=4, size=32, workers=0)
    return pretraining_config(parse_method(name), CommonSettings(**common | settings), seed=3)


@pytest.mark.parametrize('name', BUILT_IN)
def test_everything_common_is_common(clusters, name):
    cfg, budget = prepare(clusters, name)
    dataset = cfg.train_dataloader.dataset
    assert (dataset.data_root, dataset.split, dataset.seed, dataset.label_fraction) == (str(clusters), None, 3, 0.5)
    assert dataset.label_map is None
    assert cfg.randomness.seed == 3
    assert cfg.train_dataloader.num_workers == 0 and not cfg.train_dataloader.persistent_workers
    assert cfg.train_cfg.max_epochs == budget.epochs
    assert dataset.samples_per_video == budget.samples_per_video
    views = {'supervised': 1, 'te': 1, 'ucl': 5, 'meta-uscl': 4}.get(name, 2)
    assert cfg.train_dataloader.batch_size == max(2, 8 // views)
    assert cfg.model.get('input_size', 32) == 32
    # Seven videos; of the four labelled ones only whole numbers of samples can be taken, 3.5 each would be equal.
    assert budget.views == (18 * 4 * 4 if name == 'supervised' else 20 * 2 * 7)
    assert 'num_classes' not in cfg.model.get('head', {}) or cfg.model.head.num_classes == 2
    sizes = [
        step.scale
        for outer in dataset.pipeline
        for step in [outer, *(s for t in outer.get('transforms', []) for s in (t if isinstance(t, list) else [t]))]
        if step.type == 'AntialiasedRandomResizedCrop'
    ]
    assert sizes and set(sizes) == {32}
    (schedule,) = cfg.param_scheduler
    assert schedule.convert_to_iter_based  # else a run of one epoch would have one rate
    assert (schedule.T_max, schedule.end) == (budget.epochs, budget.epochs)
    assert schedule.begin == round(budget.epochs / 30)


def test_the_queue_holds_whole_batches_and_half_an_epoch(clusters):
    cfg, budget = prepare(clusters, 'mocov2')
    assert cfg.model.queue_len % cfg.train_dataloader.batch_size == 0
    assert 0 < cfg.model.queue_len <= budget.items / 2


@pytest.mark.parametrize('epochs', [1, 2, 3, 301])
def test_schedules_of_any_length_are_valid(clusters, epochs):
    for name in ('uscl', 'simclr'):
        cfg, budget = prepare(clusters, name, epochs=epochs)
        (schedule,) = cfg.param_scheduler
        assert 0 <= schedule.begin < schedule.end and schedule.T_max >= 1
        assert budget.views == pytest.approx(2 * 7 * epochs, rel=0.05)


def test_data_that_budgets_do_not_fit(clusters, tmp_path):
    path = tmp_path / 'iterations.py'
    base = parse_method('uscl').config
    path.write_text(f"_base_ = '{base}'\ntrain_cfg = dict(_delete_=True, by_epoch=False, max_iters=10)\n")
    with pytest.raises(ValueError, match=r'iterations\.py .*VideoClusterDataset'):
        prepare(clusters, f'x={path}')
    assert Config.fromfile(path).train_cfg.max_iters == 10
    with pytest.raises(FileNotFoundError, match='gone'):
        prepare('gone', 'uscl')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('x=uscl:train_cfg.max_epochs=5', '^x: train_cfg '),
        ('x=uscl:train_dataloader.batch_size=5', r'^x: train_dataloader\.batch_size '),
        ('x=uscl:train_dataloader.dataset.split=val', r'dataset\.split '),
        ('x=uscl:model.haed.cls_weight=1', r'^x: .*model\.haed\.cls_weight'),
        ('x=uscl:train_dataloader.dataset.pipeline.99.alpha=1', r'^x: .*pipeline\.99\.alpha'),
        ('x=uscl:train_dataloader.dataset.steps.MixFrame.alpha=1', 'x: steps .*MixFrame,'),
    ],
)
def test_options_that_a_row_cannot_have(clusters, text, message):
    with pytest.raises(ValueError, match=message):
        prepare(clusters, text)


def test_options_of_a_row_arrive(clusters):
    cfg, budget = prepare(clusters, 'x=uscl:train_dataloader.dataset.label_fraction=1.0')
    assert cfg.train_dataloader.dataset.label_fraction == 1.0
    _, fewer = prepare(clusters, 'x=uscl:train_dataloader.dataset.data_fraction=0.5')
    assert fewer.views == budget.views and fewer.epochs > budget.epochs  # five of seven videos, no less work


@pytest.mark.parametrize('fraction', [0.5, 1.0])
def test_epochs_of_the_supervised_method_are_those_of_uscl(clusters, fraction):
    _, budget = prepare(clusters, 'supervised', label_fraction=fraction)
    assert budget.epochs == pytest.approx(20, rel=0.2)  # of whole samples of four videos, or of six


@pytest.mark.parametrize('name', ['supervised', 'te', 'pi', 'fixmatch'])
def test_classifiers_need_a_label(clusters, name):
    with pytest.raises(ValueError, match='label'):
        prepare(clusters, name, label_fraction=0.0)


def test_a_queue_needs_a_whole_batch(clusters):
    with pytest.raises(ValueError, match=r'7 items .*32'):
        prepare(clusters, 'mocov2', epochs=1, batch_size=32)


@pytest.mark.parametrize('name', ['uscl', 'mocov2', 'supervised', 'byol'])
def test_every_method_takes_another_backbone(clusters, name):
    cfg, _ = prepare(clusters, name, backbone='mobilenet_v3_small')
    assert cfg.model.backbone.type == 'MobileNetV3'
    widths = [
        part['in_channels'] for part in (cfg.model.get('neck'), cfg.model.get('head')) if 'in_channels' in (part or {})
    ]
    assert 576 in widths and 512 not in widths


def test_a_config_of_ones_own_keeps_its_backbone(clusters, tmp_path):
    own = Config.fromfile(parse_method('uscl').config)
    own.model.backbone.depth = 34
    own.dump(tmp_path / 'mine.py')
    cfg, _ = prepare(clusters, f'mine={tmp_path}/mine.py', backbone='mobilenet_v3_small')
    assert (cfg.model.backbone.type, cfg.model.backbone.depth) == ('ResNet', 34)
