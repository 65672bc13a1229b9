import tempfile
from pathlib import Path

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from uscl.data.annotations import write_annotations
from uscl.data.bad_videos import damaged_videos
from uscl.data.frame_packing import pack_frames
from uscl.data.frame_store import find_stored

SETTINGS = settings(max_examples=25, deadline=None, derandomize=True)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 17), st.integers(1, 17), st.sampled_from([(), (3,)]))


def plant(root, shapes, seed):
    """Write videos of random pixels; returns them by id, and the entries."""
    rng = np.random.default_rng(seed)
    pixels, entries = {}, []
    for number, (count, height, width, channels) in enumerate(shapes):
        name = f'video {number}'
        pixels[name] = rng.integers(0, 256, (count, height, width, *channels), np.uint8)
        frames = [f'frames/{number}/{index:06d}.png' for index in range(count)]
        (root / f'frames/{number}').mkdir(parents=True)
        for frame, image in zip(frames, pixels[name], strict=True):
            cv2.imwrite(str(root / frame), image)
        entries.append({'video_id': name, 'frames': frames})
    write_annotations(root / 'annotations.json', entries, [])
    return pixels, entries


@SETTINGS
@given(st.lists(SHAPES, min_size=1, max_size=5), st.integers(1, 4000), st.integers(0, 99), st.data())
def test_any_videos_read_back_equal_and_any_flipped_byte_names_its_video(shapes, shard_bytes, seed, data):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pixels, entries = plant(root, shapes, seed)
        index = pack_frames(root, entries, workers=1, shard_bytes=shard_bytes)
        assert not index.left_out and sum(size for _, size in index.shards) == sum(map(np.size, pixels.values()))
        shards, places = find_stored(root, entries)
        assert set(places) == set(pixels)
        for name, expected in pixels.items():
            np.testing.assert_array_equal(shards.read(*places[name].place), expected)
        assert damaged_videos(root) == {}

        victim = data.draw(st.sampled_from(sorted(pixels)))
        place = data.draw(st.integers(0, pixels[victim].size - 1))
        shard = root / 'store' / index.shards[index.videos[victim].shard][0]
        content = bytearray(shard.read_bytes())
        content[index.videos[victim].offset + place] ^= data.draw(st.integers(1, 255))
        shard.write_bytes(content)
        assert list(damaged_videos(root)) == [victim]
