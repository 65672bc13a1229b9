import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from uscl.data.frame_shards import FrameShards
from uscl.data.frame_store import damaged_videos, read_index
from uscl.data.store_writer import StoreWriter

SETTINGS = settings(max_examples=25, deadline=None, derandomize=True)
SIZES = st.tuples(st.integers(1, 17), st.integers(1, 17))
VIDEOS = st.tuples(st.lists(SIZES, min_size=1, max_size=4), st.sampled_from([(), (3,)]))


def plant(videos, seed):
    rng = np.random.default_rng(seed)
    return {
        f'video {number}': [rng.integers(0, 256, (*size, *channels), np.uint8) for size in sizes]
        for number, (sizes, channels) in enumerate(videos)
    }


@SETTINGS
@given(st.lists(VIDEOS, min_size=1, max_size=5), st.integers(1, 4000), st.integers(0, 99), st.data())
def test_any_videos_read_back_equal_and_any_flipped_byte_names_its_video(videos, shard_bytes, seed, data):
    with tempfile.TemporaryDirectory() as folder:
        root, pixels = Path(folder), plant(videos, seed)
        order = data.draw(st.permutations(sorted(pixels)))
        first = order[: data.draw(st.integers(0, len(order)))]
        for names in (first, order[len(first) :]):
            with StoreWriter(root, names, shard_bytes) as store:
                for name in names:
                    store.add(name, pixels[name], {})
                store.commit()
        index, shards = read_index(root), FrameShards(root)
        for name, expected in pixels.items():
            for one, other in zip(shards.frames(index.videos[name].places()), expected, strict=True):
                np.testing.assert_array_equal(one, other)
            start = data.draw(st.integers(0, len(expected) - 1))
            count = data.draw(st.integers(1, len(expected) - start))
            part = shards.frames(index.videos[name].places(start, count))
            for one, other in zip(part, expected[start : start + count], strict=True):
                np.testing.assert_array_equal(one, other)
        assert damaged_videos(root) == {}

        victim = data.draw(st.sampled_from(sorted(pixels)))
        video = index.videos[victim]
        place = data.draw(st.integers(0, video.num_bytes - 1))
        shard = root / 'store' / video.shard
        content = bytearray(shard.read_bytes())
        content[video.offset + place] ^= data.draw(st.integers(1, 255))
        shard.write_bytes(content)
        assert list(damaged_videos(root)) == [victim]
