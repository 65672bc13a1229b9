"""The frame store: what is written is read, whatever its size; appended, replaced, pruned, cut off, taken up again."""

import io
import json
import pickle
import re
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from uscl.data import frame_shards
from uscl.data.frame_shards import FrameShards
from uscl.data.frame_store import damaged_videos, find_stored, read_index
from uscl.data.store_writer import StoreWriter

SHAPES = {'grey': (5, 24, 40), 'colour': (4, 20, 30, 3), 'one': (1, 8, 8), 'mixed': (3, 16, 16)}


def pixels(name, seed=0):
    """Frames of a video; those of `mixed` differ in size."""
    rng = np.random.default_rng([seed, *name.encode()])
    count, *shape = SHAPES[name]
    sizes = [(shape[0] + (k == 2), *shape[1:]) if name == 'mixed' else shape for k in range(count)]
    return [rng.integers(0, 256, size, np.uint8) for size in sizes]


def write(folder, names, seed=0, **kwargs):
    with StoreWriter(folder, names, **kwargs) as store:
        for name in names:
            store.add(name, pixels(name, seed), {'seed': seed})
        return store.commit()


def entries(names=SHAPES):
    return [{'video_id': name, 'num_frames': SHAPES[name][0]} for name in names]


def check(folder, seeds):
    """The store holds these videos, of these seeds, and nothing else."""
    index = read_index(folder)
    shards = FrameShards(folder)
    assert set(index.videos) == set(seeds) and damaged_videos(folder) == {}
    for name, seed in seeds.items():
        stored, expected = index.videos[name], pixels(name, seed)
        assert stored.facts == {'seed': seed} and stored.num_frames == len(expected)
        for one, other in zip(shards.frames(stored.places()), expected, strict=True):
            np.testing.assert_array_equal(one, other)
        for k, other in enumerate(expected):
            (one,) = shards.frames(stored.places(k, 1))
            np.testing.assert_array_equal(one, other)
    return index


def files(folder):
    return {path.name: path.read_bytes() for path in (folder / 'store').iterdir()}


@pytest.mark.parametrize('shard_bytes', [1, 6000, 1 << 30])
def test_what_is_written_is_read(tmp_path, shard_bytes):
    write(tmp_path, SHAPES, shard_bytes=shard_bytes)
    index = check(tmp_path, dict.fromkeys(SHAPES, 0))
    assert len(index.shards) == {1: 4, 6000: 2, 1 << 30: 1}[shard_bytes]
    assert set(files(tmp_path)) == {'index.json', *index.shards}


def test_shards_are_files_of_safetensors(tmp_path):
    index = write(tmp_path, SHAPES)
    (name,) = index.shards
    with safe_open(tmp_path / 'store' / name, 'np') as file:
        assert set(file.keys()) == set(SHAPES)
        for video in ('grey', 'colour', 'one'):
            np.testing.assert_array_equal(file.get_tensor(video), pixels(video))
        flat = np.concatenate([frame.ravel() for frame in pixels('mixed')])
        np.testing.assert_array_equal(file.get_tensor('mixed'), flat)


def test_a_video_more_leaves_what_is_there(tmp_path):
    write(tmp_path, ['grey', 'mixed'])
    before = files(tmp_path)
    write(tmp_path, ['colour'])
    after = files(tmp_path)
    assert {name: after[name] for name in before if name != 'index.json'} == {
        name: content for name, content in before.items() if name != 'index.json'
    }
    check(tmp_path, {'grey': 0, 'mixed': 0, 'colour': 0})


def test_replaced_and_removed_videos_leave_no_byte(tmp_path):
    write(tmp_path, SHAPES)
    reader, places = FrameShards(tmp_path), read_index(tmp_path).videos['one'].places()
    held = reader.frames(places)
    write(tmp_path, ['grey'], seed=1)
    with StoreWriter(tmp_path, ()) as store:
        store.prune(['grey', 'one', 'mixed'])
    check(tmp_path, {'grey': 1, 'one': 0, 'mixed': 0})
    content = b''.join(files(tmp_path).values())
    for gone in (pixels('grey'), pixels('colour')):
        assert gone[0].tobytes() not in content
    np.testing.assert_array_equal(held[0], pixels('one')[0])  # whoever has mapped the older shard goes on with it
    with StoreWriter(tmp_path, ()) as store:
        store.prune([])
    assert set(files(tmp_path)) == {'index.json'} and read_index(tmp_path).videos == {}


def test_pruning_touches_no_shard_whose_videos_all_stay(tmp_path):
    write(tmp_path, ['grey'])
    write(tmp_path, ['colour', 'one'])
    before = files(tmp_path)
    with StoreWriter(tmp_path, ()) as store:
        store.prune(['grey', 'colour'])
    kept = [name for name, content in files(tmp_path).items() if before.get(name) == content]
    assert len([name for name in kept if name.endswith('.safetensors')]) == 1
    check(tmp_path, {'grey': 0, 'colour': 0})


@pytest.mark.parametrize('cut', [0.0, 0.1, 0.35, 0.5, 0.75, 0.99, 1.0])
@pytest.mark.parametrize('which', ['*.jsonl', '*.safetensors'])
def test_a_run_that_died_loses_only_the_video_under_way(tmp_path, which, cut):
    """Its files end anywhere: what is whole is taken up, with facts and checksum, and the rest is written again."""
    write(tmp_path, ['one'])
    writer = StoreWriter(tmp_path, SHAPES)
    for name in ('grey', 'colour', 'mixed'):
        writer.add(name, pixels(name), {'seed': 0})
    writer._shard.close(), writer._journal.close()
    check(tmp_path, {'one': 0})  # readers see the index from before
    victim = max((tmp_path / 'store').glob(which), key=lambda path: path.with_suffix('.jsonl').exists())
    victim.write_bytes(victim.read_bytes()[: int(victim.stat().st_size * cut)])
    with StoreWriter(tmp_path, SHAPES) as store:
        recovered = set(store.index.videos)
        assert recovered in ({'one'} | set(list(SHAPES)[:k]) for k in range(5)) or recovered == {
            'one', 'grey', 'colour', 'mixed'
        }  # fmt: skip
        assert cut < 1 or recovered == set(SHAPES)
        store.commit()
    check(tmp_path, dict.fromkeys(recovered, 0))
    for name in read_index(tmp_path).shards:
        with safe_open(tmp_path / 'store' / name, 'np') as file:
            assert set(file.keys()) <= recovered
    missing = [name for name in SHAPES if name not in recovered]
    write(tmp_path, missing)
    check(tmp_path, dict.fromkeys(SHAPES, 0))


def test_a_video_that_fails_leaves_nothing(tmp_path):
    def frames():
        yield pixels('grey')[0]
        raise OSError(28, 'No space left on device')

    with StoreWriter(tmp_path, SHAPES) as store:
        store.add('one', pixels('one'), {'seed': 0})
        with pytest.raises(OSError, match='No space left'):
            store.add('grey', frames(), {})
        store.add('colour', pixels('colour'), {'seed': 0})
        store.commit()
    check(tmp_path, {'one': 0, 'colour': 0})


def test_a_name_that_was_not_announced_is_stored_all_the_same(tmp_path):
    with StoreWriter(tmp_path, ()) as store:
        store.add('grey', pixels('grey'), {'seed': 0})
        store.commit()
    check(tmp_path, {'grey': 0})


def test_frames_are_read_only_and_not_copied(tmp_path):
    index = write(tmp_path, SHAPES)
    shards, (place,) = FrameShards(tmp_path), index.videos['grey'].places()
    first, second = shards.read(*place), shards.read(*place)
    assert np.shares_memory(first, second)
    with pytest.raises(ValueError, match='read-only'):
        first[0, 0, 0] = 1
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(shards)).read(*place), first)
    assert len(pickle.dumps(shards)) < 500  # without the mapped pixels


def test_annotation_and_store_must_agree(tmp_path):
    write(tmp_path, ['grey', 'one'])
    assert set(find_stored(tmp_path, entries(['one']))[1]) == {'one'}
    with pytest.raises(ValueError, match=r"'colour' .*4 frames"):
        find_stored(tmp_path, entries(['one', 'colour']))
    with pytest.raises(ValueError, match=r"'grey' .*6 frames.*5 in .*store"):
        find_stored(tmp_path, [{'video_id': 'grey', 'num_frames': 6}])


def test_facts_can_be_left_out_whatever_the_videos_are_called(tmp_path):
    names = dict(zip(['facts', 'crc32', 'shapes', 'videos'], SHAPES.values(), strict=False))
    with StoreWriter(tmp_path, names) as writer:
        for name, shape in names.items():
            writer.add(name, [np.zeros(shape[1:], np.uint8)] * shape[0], {'facts': {'crc32': 1, 'facts': {'a': 1}}})
        index = writer.commit()
    assert read_index(tmp_path) == index
    bare = read_index(tmp_path, with_facts=False)
    assert bare.videos == {name: replace(video, facts={}) for name, video in index.videos.items()}
    assert bare.shards == index.shards


def test_damage_is_found(tmp_path):
    index = write(tmp_path, SHAPES)
    (name,) = index.shards
    shard = tmp_path / 'store' / name
    content = bytearray(shard.read_bytes())
    content[index.videos['colour'].offset + 5] ^= 1
    shard.write_bytes(content)
    assert list(damaged_videos(tmp_path)) == ['colour']
    assert re.fullmatch(rf'{shard} .*checksum [0-9a-f]{{8}}, .*', damaged_videos(tmp_path)['colour'])
    shard.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=rf'{name} .* \d+ bytes, .*\d+'):
        read_index(tmp_path)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=name):
        read_index(tmp_path)
    shutil.rmtree(tmp_path / 'store')
    with pytest.raises(FileNotFoundError, match=r'index.json'):
        read_index(tmp_path)


VIDEO = {'shard': 'x', 'offset': 0, 'shapes': [[1, 2, 2]], 'crc32': 0, 'facts': {}}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'version': 2}, 'version 2, .* 3'),
        ({'format': 'other'}, 'has version 3'),
        ({'shards': {'../x.bin': 3}}, 'shard name'),
        ({'shards': {}}, 'damaged'),
        ({'videos': {'v': {'shard': 'x'}}}, 'damaged'),
        ({'videos': {'v': VIDEO | {'offset': 10**9}}}, "video 'v' .* shard"),
        ({'videos': {'v': VIDEO | {'offset': -1}}}, 'integers'),
        ({'videos': {'v': VIDEO | {'crc32': None}}}, 'integers'),
        ({'videos': {'v': VIDEO | {'shapes': [[1, 2]]}}}, 'shapes'),
        ({'videos': {'v': VIDEO | {'shapes': [[0, 2, 2]]}}}, 'shapes'),
        ({'videos': {'v': VIDEO | {'shapes': []}}}, 'shapes'),
        ({'videos': {'v': VIDEO | {'shard': '../x'}}}, 'shard name'),
        ('no json', 'not valid JSON'),
        ([], 'has version None'),
    ],
)
def test_a_wrong_index_names_the_file_and_the_remedy(tmp_path, change, message):
    write(tmp_path, SHAPES)
    path = tmp_path / 'store/index.json'
    content = json.loads(path.read_text())
    (shard,) = content['shards']
    if isinstance(change, dict):
        content |= change
        for video in change.get('videos', {}).values():
            if video['shard'] == 'x':
                video['shard'] = shard
    path.write_text(change if isinstance(change, str) else json.dumps(content if isinstance(change, dict) else change))
    with pytest.raises(ValueError, match=message) as error:
        read_index(tmp_path)
    assert 'index.json' in str(error.value) and re.search('run the converter again|convert again', str(error.value))


@pytest.mark.parametrize('block', [1, 7, 480, 960, 1 << 20])
def test_checksum_is_of_all_bytes_whatever_is_read_at_once(tmp_path, monkeypatch, block):
    monkeypatch.setattr(frame_shards, '_BLOCK', block)
    index = write(tmp_path, SHAPES)
    shards = FrameShards(tmp_path)
    for name, video in index.videos.items():
        content = b''.join(frame.tobytes() for frame in pixels(name))
        assert shards.checksum(video.shard, video.offset, video.num_bytes) == zlib.crc32(content)
        assert video.crc32 == zlib.crc32(content + json.dumps([name, video.shapes]).encode())


def test_a_disk_that_fails_makes_a_bad_video_and_not_the_end(tmp_path, monkeypatch):
    write(tmp_path, SHAPES)

    class Failing(io.FileIO):
        def readinto(self, buffer):
            raise OSError(5, 'Input/output error')

    index = read_index(tmp_path)
    monkeypatch.setattr('uscl.data.frame_store.read_index', lambda _: index)
    monkeypatch.setattr(Path, 'open', lambda path, *_, **__: Failing(path))
    found = damaged_videos(tmp_path)
    assert set(found) == set(SHAPES)
    assert all(reason.endswith('.safetensors cannot be read (Input/output error)') for reason in found.values())
