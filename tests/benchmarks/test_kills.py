"""Real kills: SIGKILL at random moments and while a checkpoint is written, a cut-off file, and the end of the run."""

import random

import pytest
import torch

from instruments.kills import KillRecord, KillReport, _cut_off_newest, differences, kill_until
from uscl_plugin.weights.run_checkpoints import newest_checkpoint

EPOCHS = 12


@pytest.fixture
def config(run_config, tmp_path):
    """A function that writes a tiny config and returns the arguments of its training."""

    def write(name='config', **options):
        cfg = run_config(EPOCHS, **options)
        cfg.default_hooks.checkpoint.max_keep_ckpts = 3
        cfg.pop('work_dir')
        cfg.pop('experiment_name')
        cfg.dump(tmp_path / f'{name}.py')
        return [str(tmp_path / f'{name}.py')]

    return write


@pytest.mark.slow
def test_killed_runs_end_as_one_that_was_left_alone(config, tmp_path):
    report = kill_until(config(), tmp_path / 'killed', lambda lives: len(lives) == 4, truncate=0.4)
    assert any(life.resumed for life in report.lives) and not report.wrong
    kill_until(config(), tmp_path / 'alone', lambda lives: True)
    assert (tmp_path / 'alone' / f'epoch_{EPOCHS}.pth').exists()
    assert differences(tmp_path / 'killed', tmp_path / 'alone') == []
    kill_until(config('other', **{'randomness.seed': 1}), tmp_path / 'other', lambda lives: True)
    assert '/state_dict/backbone.conv1.weight' in differences(tmp_path / 'killed', tmp_path / 'other')


def test_one_checkpoint_that_loads_is_always_left(tmp_path):
    for epoch in (1, 2, 3):
        torch.save({'meta': {}, 'state_dict': {}, 'message_hub': {}}, tmp_path / f'epoch_{epoch}.pth')
    assert [_cut_off_newest(tmp_path, random.Random(0)) for _ in range(3)] == [True, True, False]
    assert newest_checkpoint(tmp_path)[0] == tmp_path / 'epoch_1.pth'


@pytest.mark.parametrize(
    ('expected', 'resumed', 'wrong'),
    [(None, None, 0), (3, None, 0), (3, 3, 0), (3, 2, 1), (None, 1, 1)],
)
def test_lives_that_started_from_another_checkpoint(expected, resumed, wrong):
    life = KillRecord(1.0, False, False, expected, resumed, 100.0)
    assert len(KillReport([life]).wrong) == wrong


def test_training_that_fails_by_itself_is_no_kill(tmp_path):
    with pytest.raises(RuntimeError, match=r'status 1\):\n(.|\n)*nowhere\.py'):
        kill_until([str(tmp_path / 'nowhere.py')], tmp_path / 'run', lambda lives: len(lives) == 1)


def test_no_checkpoint_to_compare(tmp_path):
    with pytest.raises(FileNotFoundError, match='checkpoint'):
        differences(tmp_path, tmp_path)
