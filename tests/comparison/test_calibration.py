"""Epochs are chosen so that the whole table fits, and stay the same when it is resumed."""

import json
import time

import pytest

from uscl.options.common_settings import CommonSettings
from uscl.options.comparison_options import ComparisonOptions
from uscl_plugin.comparison import calibration
from uscl_plugin.comparison.calibration import epochs_for, seconds_per_step
from uscl_plugin.comparison.comparison import Comparison
from uscl_plugin.comparison.methods import parse_methods
from uscl_plugin.comparison.pretraining_config import pretraining_config

COMMON = dict(label_fraction=0.5, batch_size=4, size=32, workers=0)


def options(clusters, patients, tmp_path, methods=('random', 'supervised', 'uscl'), epochs=1000):
    own = dict(methods=list(methods), eval_data=str(patients), out=str(tmp_path / 'out'), seeds=2, folds='3')
    return ComparisonOptions(pretrain_data=str(clusters), epochs=epochs, **own, **COMMON)


@pytest.mark.parametrize('minutes', [10, 100])
def test_steps_of_all_runs_and_evaluations_fit(clusters, patients, tmp_path, monkeypatch, minutes):
    monkeypatch.setattr(Comparison, 'evaluate', lambda self, name, spec, seed, row: setattr(row, 'seconds', 4.0))
    monkeypatch.setattr(calibration, 'seconds_per_step', lambda cfg: 2.0)
    chosen = epochs_for(options(clusters, patients, tmp_path), 60 * minutes).epochs

    # Two methods, two seeds, 7 videos: 14 views an epoch, 8 a step; 30 s to start each. USCL's second step is a part.
    def cost(epochs):
        return 4 * 30 + 6 * 4.0 + 2 * 2.0 * epochs * (14 / 8 + 2)

    assert cost(chosen) <= 60 * minutes <= cost(chosen + 2)


def test_an_interrupted_table_goes_on_with_the_same_epochs(clusters, patients, tmp_path, monkeypatch):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'budget.json').write_text(json.dumps({'seconds': 600.0, 'epochs': 17}))
    monkeypatch.setattr(Comparison, 'evaluate', lambda *_: pytest.fail('measured again'))
    assert epochs_for(options(clusters, patients, tmp_path), 600.0).epochs == 17
    with pytest.raises(ValueError, match=r'budget\.json .*10 minutes: .*--out'):
        epochs_for(options(clusters, patients, tmp_path), 1200.0)


@pytest.mark.parametrize('name', ['te', 'mocov2', 'byol', 'mocov3', 'meta-uscl'])
def test_a_step_is_timed(clusters, name):
    cfg, _ = pretraining_config(
        parse_methods([name])[0], CommonSettings(pretrain_data=str(clusters), epochs=2, **COMMON), 0
    )
    began = time.perf_counter()
    assert 0 < seconds_per_step(cfg) < time.perf_counter() - began
