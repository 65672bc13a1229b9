import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from uscl.data.array_cache import FOLDER, ArrayCache, cache_folder

KEY, OTHER = {'network': 'a', 'size': 64}, {'network': 'b', 'size': 64}
ARRAYS = {'features': np.arange(12, dtype=np.float32).reshape(4, 3), 'paths': np.array(['v#0', 'w#1'])}


def same(found, expected=ARRAYS):
    return found.keys() == expected.keys() and all(np.array_equal(found[name], expected[name]) for name in expected)


def test_arrays_come_back_under_their_key_alone(tmp_path):
    cache = ArrayCache(tmp_path / 'new')
    assert cache.get(KEY) is None
    cache.put(KEY, ARRAYS)
    assert same(cache.get(dict(reversed(KEY.items())))) and cache.get(OTHER) is None
    assert (tmp_path / 'new').stat().st_mode & 0o077 == 0
    cache.put(KEY, {'features': np.zeros(2)})
    assert same(ArrayCache(tmp_path / 'new').get(KEY), {'features': np.zeros(2)})


def test_every_damaged_byte_is_found_or_harmless(tmp_path):
    cache = ArrayCache(tmp_path)
    cache.put(KEY, ARRAYS)
    (path,) = tmp_path.iterdir()
    content, found = path.read_bytes(), 0
    place = content.index(ARRAYS['features'].tobytes()[4:])
    for k in range(0, len(content), 7):
        path.write_bytes(content[:k] + bytes([content[k] ^ 4]) + content[k + 1 :])
        read = cache.get(KEY)
        found += read is None
        assert read is None or same(read)
        assert read is None or not place <= k < place + 40
    assert found > len(content) / 14
    for length in range(0, len(content), 100):
        path.write_bytes(content[:length])
        assert cache.get(KEY) is None
    path.write_bytes(content)
    assert same(cache.get(KEY))


def test_a_file_of_another_key_is_not_used(tmp_path):
    cache = ArrayCache(tmp_path)
    cache.put(KEY, ARRAYS)
    (path,) = tmp_path.iterdir()
    cache.put(OTHER, {'features': np.ones(3)})
    (other,) = set(tmp_path.iterdir()) - {path}
    shutil.copy(other, path)
    assert cache.get(KEY) is None and cache.get(OTHER) is not None


class Trap:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_nothing_in_a_file_is_executed(tmp_path):
    cache, trap = ArrayCache(tmp_path / 'cache'), Trap(tmp_path / 'trace')
    cache.put(KEY, ARRAYS)
    (path,) = (tmp_path / 'cache').iterdir()
    with np.load(path) as stored:
        arrays = dict(stored)
    with path.open('wb') as file:
        np.savez(file, **arrays, more=np.array([trap], dtype=object))
    assert cache.get(KEY) is None
    path.write_bytes(pickle.dumps(trap))
    assert cache.get(KEY) is None and not trap.trace.exists()


def test_what_was_not_used_for_the_longest_time_goes(tmp_path):
    cache = ArrayCache(tmp_path, limit=30_000)
    (tmp_path / '.left.by.a.killed.process.tmp').write_bytes(b'x' * 9000)
    for k in range(3):
        cache.put({'k': k}, {'features': np.full(2000, k, np.float32)})
    assert cache.get({'k': 0}) is not None  # now 1 is the oldest
    cache.put({'k': 3}, {'features': np.zeros(2000, np.float32)})
    assert [cache.get({'k': k}) is not None for k in range(4)] == [True, False, True, True]
    cache.put({'k': 4}, {'features': np.zeros(20_000, np.float32)})  # would not fit alone
    assert cache.get({'k': 4}) is None and cache.get({'k': 3}) is not None
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 30_000


def test_many_at_once_see_whole_files(tmp_path):
    def use(k):
        cache = ArrayCache(tmp_path, limit=60_000)
        cache.put({'k': k % 7}, {'features': np.full(5000, k % 7, np.float32)})
        found = cache.get({'k': (k + 3) % 7})
        return found is None or bool((found['features'] == (k + 3) % 7).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(60)))


def test_a_folder_that_cannot_be_used_keeps_nothing(tmp_path):
    (tmp_path / 'file').touch()
    for folder in (None, tmp_path / 'file', tmp_path / 'file' / 'below'):
        cache = ArrayCache(folder)
        cache.put(KEY, ARRAYS)
        assert cache.get(KEY) is None


def test_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, '')
    assert cache_folder() is None
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv(FOLDER)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'x'))
    assert cache_folder() == tmp_path / 'x' / 'uscl'


def test_a_user_without_a_home_has_none(monkeypatch):
    def expanduser(path):
        raise RuntimeError('no home')

    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setattr(Path, 'expanduser', expanduser)
    assert cache_folder() is None
