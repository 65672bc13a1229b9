import io
import json
import os
import pickle
import re
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from uscl.data import frame_packing, frame_shards
from uscl.data.annotations import read_annotations, write_annotations
from uscl.data.bad_videos import damaged_videos
from uscl.data.frame_packing import discard_store, pack_frames
from uscl.data.frame_shards import FrameShards, frames_at
from uscl.data.frame_store import find_stored, names_digest, read_index


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """Grey and colour videos of several sizes; one of two sizes, one with a broken frame."""
    folder = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(0)
    entries = []
    shapes = {
        'grey': (5, 24, 40),
        'colour': (4, 20, 30, 3),
        'one': (1, 8, 8),
        'mixed': (3, 16, 16),
        'broken': (2, 9, 9),
    }
    for video_id, (count, *shape) in shapes.items():
        frames = [f'frames/{video_id}/{k:06d}.png' for k in range(count)]
        (folder / 'frames' / video_id).mkdir(parents=True)
        for k, frame in enumerate(frames):
            size = (shape[0] + k, *shape[1:]) if video_id == 'mixed' else shape
            cv2.imwrite(str(folder / frame), rng.integers(0, 256, size, np.uint8))
        entries.append({'video_id': video_id, 'frames': frames})
    (folder / 'frames/broken/000001.png').write_bytes(b'\x89PNG nothing')
    write_annotations(folder / 'annotations.json', entries, [])
    return folder


@pytest.fixture
def folder(source, tmp_path):
    return shutil.copytree(source, tmp_path / 'data')


def entries_of(folder):
    return read_annotations(folder / 'annotations.json')['data_list']


@pytest.mark.parametrize('workers', [1, 3])
@pytest.mark.parametrize('shard_bytes', [1, 6000, 1 << 30])
def test_store_holds_what_an_image_reader_gives(folder, shard_bytes, workers):
    index = pack_frames(folder, entries_of(folder), workers, shard_bytes)
    assert set(index.videos) == {'grey', 'colour', 'one'}
    assert set(index.left_out) == {'mixed', 'broken'}
    assert 'differ in size' in index.left_out['mixed'] and 'cannot be decoded' in index.left_out['broken']
    assert len(index.shards) == {1: 3, 6000: 2, 1 << 30: 1}[shard_bytes]
    shards, places = find_stored(folder, entries_of(folder))
    assert set(places) == set(index.videos)
    for entry in entries_of(folder):
        if entry['video_id'] not in places:
            continue
        stored = shards.read(*places[entry['video_id']].place)
        assert len(stored) == len(entry['frames'])
        for k, frame in enumerate(entry['frames']):
            as_stored = cv2.imread(str(folder / frame), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(stored[k], as_stored)
            alone = shards.read(*frames_at(places[entry['video_id']].place, k, 1))
            np.testing.assert_array_equal(alone[0], as_stored)
    assert damaged_videos(folder) == {}


def test_frames_are_read_only_and_not_copied(folder):
    pack_frames(folder, entries_of(folder))
    shards, places = find_stored(folder, entries_of(folder))
    first, second = shards.read(*places['grey'].place), shards.read(*places['grey'].place)
    assert np.shares_memory(first, second)
    with pytest.raises(ValueError, match='read-only'):
        first[0, 0, 0] = 1
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(shards)).read(*places['grey'].place), first)
    assert len(pickle.dumps(shards)) < 500  # without the mapped pixels


def test_bytes_depend_on_the_frames_alone(folder, tmp_path):
    pack_frames(folder, entries_of(folder), workers=1)
    other = shutil.copytree(folder, tmp_path / 'elsewhere/data', ignore=shutil.ignore_patterns('store'))
    pack_frames(other, entries_of(other), workers=3)
    for file in (folder / 'store').iterdir():
        assert file.read_bytes() == (other / 'store' / file.name).read_bytes()


def test_only_a_changed_folder_is_packed_anew(folder, monkeypatch):
    first = pack_frames(folder, entries_of(folder))
    monkeypatch.setattr(frame_packing, '_read_image', lambda *_: pytest.fail('a frame was read'))
    assert pack_frames(folder, entries_of(folder)) == first
    monkeypatch.undo()
    image = np.full((8, 8), 77, np.uint8)
    path = folder / 'frames/one/000000.png'
    cv2.imwrite(str(path), image)
    later = (folder / 'store/index.json').stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))
    held = FrameShards(folder, [name for name, _ in first.shards]).read(*first.videos['one'].place)
    before = held.copy()
    second = pack_frames(folder, entries_of(folder))
    shards, places = find_stored(folder, entries_of(folder))
    np.testing.assert_array_equal(shards.read(*places['one'].place)[0], image)
    np.testing.assert_array_equal(held, before)  # who reads the older one goes on with it
    assert {file.name for file in (folder / 'store').iterdir()} == {second.shards[0][0], 'index.json', '.lock'}


def test_an_interrupted_packing_leaves_the_earlier_store(folder, monkeypatch):
    first = pack_frames(folder, entries_of(folder))
    shorter = entries_of(folder)[:2]

    def fail(path, index):
        raise OSError('No space left on device')

    monkeypatch.setattr(frame_packing, 'write_index', fail)
    with pytest.raises(OSError, match='No space'):
        pack_frames(folder, shorter)
    assert read_index(folder) == first and damaged_videos(folder) == {}
    discard_store(folder)
    assert read_index(folder) is None


def test_a_video_that_is_listed_otherwise_is_not_taken_from_the_store(folder):
    pack_frames(folder, entries_of(folder))
    entries = entries_of(folder)
    entries[0]['frames'] = entries[0]['frames'][1:]
    entries.append({'video_id': 'new', 'frames': ['frames/grey/000000.png']})
    with pytest.warns(UserWarning, match=r"lacks 2 of 6 videos.* first 'grey'.*pack_frames.py"):
        _, places = find_stored(folder, entries)
    assert set(places) == {'colour', 'one'}
    assert names_digest(['a', 'b']) != names_digest(['b', 'a'])


def test_damage_is_found(folder):
    index = pack_frames(folder, entries_of(folder))
    shard = folder / 'store' / index.shards[0][0]
    content = bytearray(shard.read_bytes())
    content[index.videos['colour'].offset + 5] ^= 1
    shard.write_bytes(content)
    assert list(damaged_videos(folder)) == ['colour']
    assert re.fullmatch(
        rf'{shard} does not hold what .*checksum [0-9a-f]{{8}}, not .*', damaged_videos(folder)['colour']
    )
    shard.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=rf'{shard.name} should have \d+ bytes, but has \d+: run the converter again'):
        read_index(folder)
    shard.unlink()
    with pytest.raises(ValueError, match=rf'{shard.name} should have \d+ bytes, but is not there .*try again'):
        read_index(folder)
    assert pack_frames(folder, entries_of(folder)) == index  # the remedy
    assert damaged_videos(folder) == {}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'version': 2}, 'has version 2, this version of uscl_plugin reads 1'),
        ({'format': 'other'}, 'has version 1'),
        ({'shards': [['../x.bin', 3]]}, 'none of a file in this folder'),
        ({'shards': []}, 'damaged'),
        ({'videos': {'v': {'shard': 0}}}, 'damaged'),
        (
            {'videos': {'v': dict(shard=0, offset=10**9, shape=[1, 2, 2], crc32=0, frames='', end_bytes=[1, 1])}},
            'within its shard',
        ),
        (
            {'videos': {'v': dict(shard=0, offset=-1, shape=[1, 2, 2], crc32=0, frames='', end_bytes=[1, 1])}},
            'within its shard',
        ),
        (
            {'videos': {'v': dict(shard=0, offset=0, shape=[1, 2], crc32=0, frames='', end_bytes=[1, 1])}},
            'within its shard',
        ),
        ('no json', 'not valid JSON'),
        ([], 'has version None'),
    ],
)
def test_a_wrong_index_names_the_file_and_the_remedy(folder, change, message):
    pack_frames(folder, entries_of(folder))
    path = folder / 'store/index.json'
    content = json.loads(path.read_text())
    if isinstance(change, dict):
        content |= change
    path.write_text(change if isinstance(change, str) else json.dumps(content if isinstance(change, dict) else change))
    with pytest.raises(ValueError, match=message) as error:
        read_index(folder)
    assert 'index.json' in str(error.value) and 'or delete' in str(error.value)


def test_a_store_without_image_files_survives_a_packing(folder):
    """It is the only copy then."""
    entries = [entry for entry in entries_of(folder) if entry['video_id'] != 'broken']
    index = pack_frames(folder, entries)
    shutil.rmtree(folder / 'frames/grey')
    with pytest.raises(
        FileNotFoundError, match=r"frames/grey/000000.png of video 'grey' is gone, so nothing is packed"
    ):
        pack_frames(folder, entries)
    assert read_index(folder) == index and damaged_videos(folder) == {}
    assert set(find_stored(folder, entries)[1]) == {'grey', 'colour', 'one'}


def test_data_sets_go_on_with_the_older_store(folder):
    """Those built before a packing with another layout, also in what they have not read yet."""
    pack_frames(folder, entries_of(folder))
    shards, places = find_stored(folder, entries_of(folder))
    expected = cv2.imread(str(folder / entries_of(folder)[1]['frames'][0]))
    cv2.imwrite(str(folder / entries_of(folder)[0]['frames'][0]), np.zeros((5, 5), np.uint8))  # 'grey' is left out now
    second = pack_frames(folder, entries_of(folder))
    assert 'grey' in second.left_out and second.videos['colour'].offset == 0 < places['colour'].offset
    np.testing.assert_array_equal(shards.read(*places['colour'].place)[0], expected)


def test_image_files_that_were_changed_are_read(folder):
    """Such as pictures whose burnt-in text was blanked."""
    pack_frames(folder, entries_of(folder))
    for frame in entries_of(folder)[1]['frames']:
        cv2.imwrite(str(folder / frame), np.zeros((20, 30, 3), np.uint8))
    with pytest.warns(
        UserWarning, match="lacks 1 of 5 videos as the annotation and the image files have them.*'colour'"
    ):
        _, places = find_stored(folder, entries_of(folder))
    assert set(places) == {'grey', 'one'}


def test_two_packings_at_the_same_time_leave_one_store(folder):
    entries, inner = entries_of(folder), []

    def pack_again():
        if not inner:  # while the first is under way
            inner.append(pool.submit(pack_frames, folder, entries))

    with ThreadPoolExecutor(1) as pool:
        index = pack_frames(folder, entries, advance=pack_again)
        assert inner[0].result(timeout=20) == index
    assert damaged_videos(folder) == {} and read_index(folder) == index


def test_what_cannot_be_read_now_is_no_broken_frame(folder, monkeypatch):
    def fail(*_):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(frame_packing.np, 'fromfile', fail)
    with pytest.raises(PermissionError):
        pack_frames(folder, entries_of(folder))
    assert not list((folder / 'store').glob('*.bin')) and not list((folder / 'store').glob('.*.tmp'))
    monkeypatch.undo()
    assert set(pack_frames(folder, entries_of(folder)).videos) == {'grey', 'colour', 'one'}


def test_other_files_in_the_store_stay(folder):
    (folder / 'store/@eaDir').mkdir(parents=True)
    pack_frames(folder, entries_of(folder))
    assert (folder / 'store/@eaDir').is_dir()


def test_nothing_that_can_be_stored(folder):
    index = pack_frames(folder, entries_of(folder)[3:])
    assert index.shards == [] and set(index.left_out) == {'mixed', 'broken'}
    assert find_stored(folder, entries_of(folder)[3:])[1] == {}


@pytest.mark.parametrize('block', [1, 7, 480, 960, 1 << 20])
def test_checksum_is_of_all_bytes_whatever_is_read_at_once(folder, monkeypatch, block):
    monkeypatch.setattr(frame_shards, '_BLOCK', block)
    pack_frames(folder, entries_of(folder))
    shards, places = find_stored(folder, entries_of(folder))
    for video in places.values():
        assert shards.checksum(*video.place) == zlib.crc32(shards.read(*video.place)) == video.crc32
    first = frames_at(places['grey'].place, 1, 2)
    assert shards.checksum(*first) == zlib.crc32(shards.read(*first))


def test_a_disk_that_fails_makes_a_bad_video_and_not_the_end(folder, monkeypatch):
    pack_frames(folder, entries_of(folder))

    class Failing(io.FileIO):
        def readinto(self, buffer):
            raise OSError(5, 'Input/output error')

    monkeypatch.setattr(Path, 'open', lambda path, *_, **__: Failing(path))
    monkeypatch.setattr(FrameShards, '_map', lambda *_: None)
    found = damaged_videos(folder)
    assert set(found) == {'grey', 'colour', 'one'}
    assert all(reason.endswith('.bin cannot be read (Input/output error)') for reason in found.values())
