"""A schedule that ends with another epoch than the training."""

import pytest
from mmengine.config import Config

from uscl_plugin.running.host_tools import run_host_tool
from uscl_plugin.running.schedule_check import schedule_warning

COSINE = dict(type='CosineAnnealingLR', T_max=200, begin=10, end=200, by_epoch=True)
WARM_UP = dict(type='LinearLR', begin=0, end=10, by_epoch=True)


@pytest.mark.parametrize(
    ('epochs', 'schedules', 'named'),
    [
        (200, [COSINE], None),
        (200, [WARM_UP, COSINE], None),
        (20, COSINE, 'param_scheduler.0.end=20 param_scheduler.0.T_max=20'),
        (300, [WARM_UP, COSINE], 'param_scheduler.1.end=300 param_scheduler.1.T_max=300'),
        (20, [dict(COSINE, by_epoch=False)], None),  # in steps, which nobody has counted yet
        (20, [], None),
        (None, [COSINE], None),
    ],
)
def test_the_options_are_named(epochs, schedules, named):
    warning = schedule_warning(Config(dict(train_cfg=dict(max_epochs=epochs), param_scheduler=schedules)))
    assert warning is None if named is None else f'set {named}.' in warning


def test_train_warns_once_and_trains(root, monkeypatch, capsys):
    monkeypatch.setattr('uscl_plugin.running.host_tools.runpy.run_path', lambda *args, **kwargs: None)
    config = str(root / 'configs' / 'uscl' / 'uscl_resnet18_demo.py')
    assert run_host_tool('train', [config, '--cfg-options', 'train_cfg.max_epochs=20']) == 0
    shown = capsys.readouterr().err
    assert shown.count('warning: ') == 1 and 'param_scheduler.0.end=20' in shown
    assert run_host_tool('train', [config]) == 0
    assert capsys.readouterr().err == ''
