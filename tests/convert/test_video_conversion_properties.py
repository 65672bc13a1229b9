import contextlib
import csv
import io
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_clips import write_clip
from PIL import Image

from uscl.clips.discovery import find_sources
from uscl.convert.videos import video_conversion as conversion
from uscl.convert.videos.store_settings import StoreSettings
from uscl.convert.videos.video_conversion import convert_sources
from uscl.data.annotations import read_annotations
from uscl.data.frame_store import damaged_videos, read_index

SETTINGS = settings(max_examples=12, deadline=None, derandomize=True)
# Kind of a video: suffix of its name, and frames kept, all or at least eight (None: it cannot be read).
KINDS = {
    'clip': ('.avi', 8),
    'short': ('.mp4', 4),
    'folder': ('', 2),
    'cut': ('.avi', None),
    'empty': ('.mp4', None),
    'text': ('.mov', None),
    'damaged folder': ('', None),
}
TREES = st.dictionaries(
    st.tuples(st.sampled_from(['a/', 'b/', 'b/deeper/', 'c ü/']), st.integers(0, 12).map('v{}'.format)),
    st.sampled_from(sorted(KINDS)),
    min_size=1,
    max_size=7,
)


@pytest.fixture(scope='module')
def contents(tmp_path_factory):
    folder = tmp_path_factory.mktemp('clips')
    clip = write_clip(folder / 'x.avi', 24, 25).read_bytes()
    short = write_clip(folder / 'x.mp4', 4, 25).read_bytes()
    return {'clip': clip, 'short': short, 'cut': clip[: len(clip) // 2], 'empty': b'', 'text': b'text'}


def plant(root, tree, contents):
    """Write a tree; returns the kind of every video by its id."""
    videos = {}
    for (folder, stem), kind in tree.items():
        path = root / folder / (stem + kind.replace(' ', '_') + KINDS[kind][0])
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind in contents:
            path.write_bytes(contents[kind])
        else:
            path.mkdir()
            for index in range(2):
                Image.fromarray(np.full((20, 16), 90 * index, np.uint8)).save(path / f'{index}.png')
            if kind == 'damaged folder':
                (path / '1.png').write_bytes(b'no picture')
        videos[path.relative_to(root).as_posix()] = kind
    return videos


def convert(root, out, stop=None):
    """Convert in this process, which forks nothing; from task ``stop`` on as if Ctrl-C had been pressed."""

    def one_by_one(function, tasks, workers):
        for number, task in enumerate(tasks):
            if number == stop:
                raise KeyboardInterrupt
            yield number, function(task)

    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(conversion, 'run_isolated', one_by_one)
        convert_sources(find_sources(root), out, StoreSettings(size=16), workers=1)
    return printed.getvalue()


def content(out):
    """Everything but how the shards are called, and what is where in them."""
    videos = {name: (video.shapes, video.crc32, video.facts) for name, video in read_index(out).videos.items()}
    assert damaged_videos(out) == {}
    files = {path.name: path.read_text() for path in out.iterdir() if path.is_file()}
    return videos, files


@SETTINGS
@given(TREES)
def test_every_readable_video_is_there_once_and_the_counts_add_up(contents, tree):
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, 'src'), Path(folder, 'out')
        videos = plant(root, tree, contents)
        readable = {name: KINDS[kind][1] for name, kind in videos.items() if KINDS[kind][1]}
        printed = convert(root, out)
        assert f'{len(readable)} converted now, 0 complete already, {len(videos) - len(readable)} skipped.' in printed
        skipped = list(csv.reader((out / 'skipped.csv').open())) if len(readable) < len(videos) else [[]]
        assert sorted(row[0] for row in skipped[1:]) == sorted(set(videos) - set(readable))
        if not readable:
            assert not (out / 'annotations.json').exists()
            return
        entries = read_annotations(out / 'annotations.json')['data_list']
        found = {entry['video_id']: (entry['label'], entry['num_frames']) for entry in entries}
        assert len(entries) == len(found)
        assert found == {name: (name.split('/')[0], count) for name, count in readable.items()}
        frames = sum(entry['num_frames'] for entry in entries)
        total = re.search(r'total\W+(\d+)\W+(\d+)', printed)
        assert (int(total[1]), int(total[2])) == (len(readable), frames)
        before = content(out)
        assert f'0 converted now, {len(readable)} complete already' in convert(root, out)
        assert content(out) == before


@SETTINGS
@given(TREES, st.lists(st.integers(0, 6), min_size=1, max_size=3))
def test_an_interrupted_conversion_ends_like_a_straight_one(contents, tree, stops):
    with tempfile.TemporaryDirectory() as folder:
        root, out, straight = (Path(folder, name) for name in ('src', 'out', 'straight'))
        plant(root, tree, contents)
        for stop in stops:
            with contextlib.suppress(KeyboardInterrupt):
                convert(root, out, stop)
        convert(root, out)
        convert(root, straight)
        if not (straight / 'annotations.json').exists():
            return
        assert content(out) == content(straight)
