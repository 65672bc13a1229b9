import json
import os
import pickle
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tool_module import load_tool

from instruments import fuzzing, mutations
from instruments.fuzz_targets import make_readers
from instruments.fuzzing import Reader, fuzz
from instruments.mutations import DECOY, mutate_bytes

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
        assert len(refused) == expected and all('refused' in error for error in refused), (reader.name, refused)


def test_an_input_depends_on_seed_reader_and_number_alone(readers):
    inputs = {
        (reader.name, seed, k): reader.make_input(seed, k) for reader in readers for seed in (0, 1) for k in range(9)
    }
    again = {
        (reader.name, seed, k): reader.make_input(seed, k) for reader in readers for seed in (1, 0) for k in range(9)
    }
    assert inputs == again
    assert len(set(inputs.values())) > 0.9 * len(inputs)


def test_mutators_survive_their_own_output():
    """Also what is no file of their kind any more."""
    rng = random.Random(0)
    png = b'\x89PNG\r\n\x1a\n' + b'\0\0\0\1IDATx1234'
    for mutate, content in ((mutations.mutate_bytes, b'ab'), (mutations.mutate_png, png), (mutations.mutate_zip, png)):
        for _ in range(300):
            content = mutate(rng, content, [content, png]) or b'\0'
            assert len(content) < 10**7
            content = content[:10_000]
    for _ in range(300):
        mutations.mutate_json(rng, b'{"a": [1, {"b": null}], "c": "d"}', [b'{}'])
        mutations.mutate_csv(rng, b'a,b\n1,2\n', [b'c'])


def touch_decoy(path):
    return Path(path.parent, DECOY).read_text()


def fill_memory(path):
    return np.ones(5_000_000).sum()  # 40 MB


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


@pytest.mark.parametrize('workers', [1, 2])
def test_what_a_reader_does_is_found(workers, monkeypatch):
    monkeypatch.setattr(fuzzing, '_STALLED', 15)  # 3 s: other work may take the processors for so long
    names = [name for name in READERS if workers == 2 or name not in ('waiting', 'busy')]
    fakes = [Reader(name, 'x.bin', [b'abc'], mutate_bytes, READERS[name][0], (ValueError,)) for name in names]
    outcomes = list(fuzz(fakes, 2 * len(fakes), seconds=0.2, memory=20, workers=workers))
    kinds = {(outcome.reader, outcome.number): outcome.kind for outcome in outcomes}
    assert len(outcomes) == len(kinds)
    assert kinds == {(name, number): READERS[name][1] for name in names for number in range(2)}
    memory = {outcome.reader: outcome.memory for outcome in outcomes}
    assert 35 < memory['memory'] < 60 and memory['fine'] < 10
    details = {outcome.reader: outcome.detail for outcome in outcomes}
    assert 'SIGKILL' in details['crash'] and 'exit code 3' in details['exit'] and DECOY in details['outside']


def test_tool_keeps_what_it_finds(tool, monkeypatch, tmp_path, capsys):
    bad = Reader('bad', 'x.bin', [b'abcdef'], mutate_bytes, READERS['error'][0], (ValueError,))
    good = Reader('good', 'y.bin', [b'abcdef'], mutate_bytes, Path.read_bytes, ())
    monkeypatch.setattr(tool, 'make_readers', lambda *_: [good, bad])
    assert tool.main(['--inputs', '60', '--seed', '4', '--out', str(tmp_path / 'out')]) == 1
    content = json.loads((tmp_path / 'out/fuzz.json').read_text())
    assert [(row['inputs'], row['fine'], row['findings']) for row in content['readers']] == [(30, 30, 0), (30, 0, 30)]
    kept = sorted(path.name for path in (tmp_path / 'out/inputs').iterdir())
    assert len(kept) == 20 and (tmp_path / 'out/inputs/bad-7.bin').read_bytes() == bad.make_input(4, 7)
    assert '60 inputs: 30 read, 0 refused, 30 findings' in capsys.readouterr().out
    assert tool.main(['--inputs', '5', '--readers', 'good', '--out', str(tmp_path / 'other')]) == 0
    assert tool.main(['--readers', 'nobody', '--out', str(tmp_path / 'third')]) == 2
    assert "'nobody': choose from good, bad" in capsys.readouterr().err
