"""Features are made once for each network and data, and what is cached changes no digit."""

import shutil

import numpy as np
import pytest

from uscl.options.evaluation_options import EvaluationOptions
from uscl_plugin.evaluation import probe_features
from uscl_plugin.evaluation.cross_validation import CrossValidation


@pytest.fixture
def made(monkeypatch):
    """How often features were extracted, and a backbone measured."""
    made = []

    def counted(name):
        whole = getattr(probe_features, name)
        return lambda *args, **kwargs: made.append(name) or whole(*args, **kwargs)

    for name in ('extract_features', 'measure_frames'):
        monkeypatch.setattr(probe_features, name, counted(name))
    return made


@pytest.fixture
def evaluate(patients, tmp_path, monkeypatch):
    """A function that evaluates an untrained network: the predictions, and what was measured."""

    def run(out, cache=tmp_path / 'cache', folds='2', protocol='knn', **settings):
        monkeypatch.setenv('USCL_CACHE', str(cache or ''))
        given = {'size': 32, 'keep_models': False, 'val_fraction': 0.4} | settings
        options = EvaluationOptions(
            checkpoints=['random'], data=str(patients), out=str(tmp_path / out), folds=folds, protocol=protocol, **given
        )
        validation = CrossValidation(options, lambda line: None)
        validation.run()
        files = sorted((tmp_path / out / 'cells').rglob('*.npz'))
        return [path.read_bytes() for path in files], validation.backbones['random']

    return run


def test_they_serve_other_folds_and_protocols_and_change_no_digit(evaluate, made, tmp_path):
    plain = evaluate('plain', cache=None)
    assert made == ['measure_frames', 'extract_features']
    assert evaluate('first') == plain and len(made) == 4
    assert evaluate('second') == plain and len(made) == 4
    assert evaluate('folds', folds='3') != plain
    linear = evaluate('linear', protocol='linear')
    assert len(made) == 4
    assert evaluate('plain_linear', protocol='linear', cache=None) == linear != plain
    evaluate('frames', frames_per_video=2)
    evaluate('size', size=48)
    assert len(made) == 10


def test_damaged_files_and_those_of_other_data_are_found(evaluate, made, tmp_path):
    plain, folder = evaluate('first'), tmp_path / 'cache' / 'features'
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_size)
    assert len(files) == 2
    evaluate('smaller', size=48)
    others = sorted(set(folder.iterdir()) - set(files), key=lambda path: path.stat().st_size)

    def flip_a_bit(path, other):
        content = bytearray(path.read_bytes())
        with np.load(path) as arrays:
            name = next(name for name in arrays.files if not name.startswith('__'))
            content[content.index(arrays[name].tobytes()) + 9] ^= 1
        path.write_bytes(content)

    def cut(path, other):
        path.write_bytes(path.read_bytes()[:-40])

    def replace(path, other):
        shutil.copy(other, path)

    for damage in (flip_a_bit, cut, replace):
        for path, other in zip(files, others, strict=True):
            damage(path, other)
        made.clear()
        assert evaluate(damage.__name__) == plain
        assert made == ['measure_frames', 'extract_features']  # and mended
        assert evaluate(f'{damage.__name__} again') == plain and len(made) == 2
