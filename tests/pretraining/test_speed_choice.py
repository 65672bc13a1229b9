"""What `uscl pretrain` does to take less time."""

import pytest

from uscl_plugin.datasets.pipeline_settings import size_schedule
from uscl_plugin.pretraining import speed_choice
from uscl_plugin.pretraining.pretraining_data import PretrainingData
from uscl_plugin.pretraining.run_config import GROWING, make_run_config


@pytest.fixture
def data(patients):
    return PretrainingData(patients, None, None, ['a', 'b', 'c'], 18, 0, [])


def test_views_grow_if_asked_and_are_told(tiny, data):
    made = make_run_config(tiny(size=64, progressive=True), data)
    assert size_schedule(made.cfg.train_dataloader.dataset) == GROWING
    assert any('from 32 to 64 px' in line for line in made.lines)
    assert size_schedule(make_run_config(tiny(size=64), data).cfg.train_dataloader.dataset) is None


@pytest.mark.parametrize(
    'method', ['uscl', 'simclr', 'byol', 'mocov2', 'fixmatch', 'pi', 'te', 'supervised', 'hico', 'ucl']
)
def test_methods_grow_only_in_all_their_steps(tiny, data, method):
    from mmpretrain.registry import DATASETS

    cfg = make_run_config(tiny(size=64, method=method, progressive=True), data).cfg
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    dataset.set_epoch(0, 0, num_epochs=10)
    inputs = dataset[0]['inputs']
    sides = {view.shape[-1] for view in (inputs if isinstance(inputs, list) else [inputs])}
    assert sides == {32 if size_schedule(cfg.train_dataloader.dataset) else 64}
    if method == 'hico':  # its neck embeds whole maps
        assert sides == {64}


def test_views_below_32_pixels_are_no_use(tiny, data):
    assert size_schedule(make_run_config(tiny(size=32, progressive=True), data).cfg.train_dataloader.dataset) is None


def choose(monkeypatch, has, ratio):
    monkeypatch.setattr(speed_choice, 'has_bfloat16_instructions', lambda: has)
    monkeypatch.setattr(speed_choice.torch.cuda, 'is_available', lambda: False)
    seconds = {'OptimWrapper': ratio, 'CPUAmpOptimWrapper': 1.0}
    monkeypatch.setattr(speed_choice, 'seconds_per_step', lambda cfg: seconds[cfg.optim_wrapper.type])


@pytest.mark.parametrize(
    ('precision', 'has', 'ratio', 'chosen'),
    [
        ('auto', True, 1.8, 'CPUAmpOptimWrapper'),
        ('auto', True, 1.05, 'OptimWrapper'),
        ('auto', False, 9.0, 'OptimWrapper'),  # not even measured
        ('float32', True, 1.8, 'OptimWrapper'),
        ('bfloat16', False, 0.2, 'CPUAmpOptimWrapper'),
    ],
)
def test_bfloat16_is_chosen_where_it_is_faster(tiny, data, monkeypatch, precision, has, ratio, chosen):
    choose(monkeypatch, has, ratio)
    made = make_run_config(tiny(precision=precision), data)
    assert made.cfg.optim_wrapper.type == chosen and made.cfg.optim_wrapper.optimizer.type == 'Adam'
    measured = precision == 'auto' and has
    assert any('bfloat16' in line for line in made.lines) == measured


def test_a_gpu_gets_mmengines_own_wrapper_if_asked(tiny, data, monkeypatch):
    monkeypatch.setattr(speed_choice.torch.cuda, 'is_available', lambda: True)
    assert make_run_config(tiny(precision='auto'), data).cfg.optim_wrapper.type == 'OptimWrapper'
    wrapper = make_run_config(tiny(precision='bfloat16'), data).cfg.optim_wrapper
    assert (wrapper.type, wrapper.dtype) == ('AmpOptimWrapper', 'bfloat16')
