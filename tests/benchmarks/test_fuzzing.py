import contextlib
import io
import json
import os
import pickle
import signal
import sys
import time
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tool_module import load_tool

from instruments import fuzzing
from instruments.damaged_files import DECOY, damaged_bytes, damaged_csv, damaged_json, damaged_png
from instruments.fuzz_targets import make_readers
from instruments.fuzzing import Reader, fuzz

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='uses fork and /proc')


@pytest.fixture(scope='module')
def readers(tmp_path_factory):
    return make_readers(tmp_path_factory.mktemp('seeds'))


@pytest.fixture(scope='module')
def tool(root):
    return load_tool('tools/benchmarks/fuzz_readers.py')


def test_seeds_are_read_and_planted_code_is_refused(readers, tmp_path):
    """Else fuzzing would look at nothing but the first lines of a reader."""
    for reader in readers:
        folder = tmp_path / reader.name
        for name, content in reader.around.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / reader.file).parent.mkdir(parents=True, exist_ok=True)
        refused = []
        for seed in set(reader.seeds):
            (folder / reader.file).write_bytes(seed)
            try:
                reader.read(folder / reader.file)
            except reader.errors as error:
                refused.append(str(error))
        expected = {'array pickle': 9, 'pth': 4}.get(reader.name, 0)
        assert len(refused) == expected and all(reader.file in error for error in refused), (reader.name, refused)


def first(reader, count, seed):
    return list(islice(reader.inputs(seed), count))


def test_inputs_depend_on_seed_and_reader_alone(readers):
    chosen = [reader for reader in readers if reader.name in ('gif', 'index.csv', 'annotations')]
    inputs = {(reader.name, seed): first(reader, 9, seed) for reader in chosen for seed in (0, 1)}
    assert inputs[chosen[0].name, 0] == first(chosen[0], 9, 0)
    every = [content for contents in inputs.values() for content in contents]
    assert len(set(every)) > 0.8 * len(every)


PNG = b'\x89PNG\r\n\x1a\n' + b'\0\0\0\1IDATx1234'
CSV, JSON = [b'a,b\n1,2\n', b'', b'\n'], [b'{"a": [1, {"b": null}], "c": "d"}', b'{}', b'0']


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.one_of(damaged_bytes([b'', b'a']), damaged_png([PNG, b'']), damaged_json(JSON), damaged_csv(CSV)))
def test_any_file_can_be_damaged(content):
    """Also one that is empty, or no file of its kind any more."""
    assert len(content) < 10**7


def read_zip(file):
    with zipfile.ZipFile(file) as archive:
        return [archive.read(name) for name in archive.namelist()]


@pytest.mark.parametrize(
    ('name', 'read'),
    [
        ('pth', read_zip),
        ('safetensors', lambda file: json.loads(file.read(int.from_bytes(file.read(8), 'little')))),
        ('folder png', Image.open),
    ],
)
def test_what_is_inside_is_damaged_and_the_outside_fits(readers, name, read):
    """Else only the checks of lengths and checksums would be reached."""
    whole = 0
    for content in first(next(reader for reader in readers if reader.name == name), 60, 0):
        with contextlib.suppress(Exception):
            read(io.BytesIO(content))
            whole += 1
    assert whole > 5


def touch_decoy(path):
    return Path(path.parent, DECOY).read_text()


def fill_memory(path):
    return np.ones(120_000_000, np.uint8).any()  # 120 MB


def wait(path):
    while True:
        time.sleep(0.01)


def work(path):
    while True:
        pass


def refuse(text):
    def read(path):
        raise ValueError(text.format(path))

    return read


READERS = {
    'fine': (Path.read_bytes, 'fine'),
    'refused': (refuse('{} is damaged'), 'refused'),
    'unnamed': (refuse('it is damaged'), 'unnamed'),
    'error': (lambda path: {}['x'], 'error'),
    'memory': (fill_memory, 'memory'),
    'code': (lambda path: pickle.loads(b'cos\nsystem\n(S"true"\ntR.'), 'executed'),
    'outside': (touch_decoy, 'executed'),
    'busy': (work, 'hang'),
    'waiting': (wait, 'hang'),
    'crash': (lambda path: os.kill(os.getpid(), signal.SIGKILL), 'crash'),
    'exit': (lambda path: os._exit(3), 'crash'),
}


def outcomes_of(names, **limits):
    fakes = [Reader(name, 'x.bin', [b'abc'], damaged_bytes, READERS[name][0], (ValueError,)) for name in names]
    return [outcome for outcome, _ in fuzz(fakes, 2 * len(fakes), **limits)]


def test_what_a_reader_does_is_found():
    """With limits of time that no load of the machine reaches, and one of memory far from what reading takes."""
    names = [name for name in READERS if READERS[name][1] != 'hang']
    outcomes = outcomes_of(names, seconds=60, memory=60)
    kinds = {(outcome.reader, outcome.number): outcome.kind for outcome in outcomes}
    assert len(outcomes) == len(kinds)
    assert kinds == {(name, number): READERS[name][1] for name in names for number in range(2)}
    assert all(100 < outcome.memory < 200 for outcome in outcomes if outcome.reader == 'memory')
    details = {outcome.reader: outcome.detail for outcome in outcomes}
    assert 'SIGKILL' in details['crash'] and 'exit code 3' in details['exit'] and DECOY in details['outside']


def test_what_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(fuzzing, '_STALLED', 4)
    outcomes = outcomes_of(['busy', 'waiting'], seconds=0.2)
    assert [outcome.kind for outcome in outcomes] == ['hang'] * 4


def test_tool_keeps_what_it_finds(tool, monkeypatch, tmp_path, capsys):
    bad = Reader('bad', 'x.bin', [b'abcdef'], damaged_bytes, READERS['error'][0], (ValueError,))
    good = Reader('good', 'y.bin', [b'abcdef'], damaged_bytes, Path.read_bytes, ())
    monkeypatch.setattr(tool, 'make_readers', lambda *_: [good, bad])
    assert tool.main(['--inputs', '60', '--seed', '4', '--out', str(tmp_path / 'out')]) == 1
    content = json.loads((tmp_path / 'out/fuzz.json').read_text())
    assert [(row['inputs'], row['fine'], row['findings']) for row in content['readers']] == [(30, 30, 0), (30, 0, 30)]
    kept = sorted(path.name for path in (tmp_path / 'out/inputs').iterdir())
    assert len(kept) == 20 and (tmp_path / 'out/inputs/bad-7.bin').read_bytes() == first(bad, 8, 4)[7]
    assert '60 inputs: 30 read, 0 refused, 30 findings' in capsys.readouterr().out
    assert tool.main(['--inputs', '5', '--readers', 'good', '--out', str(tmp_path / 'other')]) == 0
    assert tool.main(['--readers', 'nobody', '--out', str(tmp_path / 'third')]) == 2
    assert "'nobody': choose from good, bad" in capsys.readouterr().err
