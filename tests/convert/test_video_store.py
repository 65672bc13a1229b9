import json
import os
import re
from pathlib import Path

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_clips import draw, index_of, write_clip
from PIL import Image

from uscl.convert.videos import video_store
from uscl.convert.videos.video_store import StoreSettings, find_complete, remove_leftovers, store_video
from uscl.core.errors import ClipError
from uscl.core.relative_path import is_inside
from uscl.data.png_frames import store_name

SETTINGS = StoreSettings(fps=3, size=32)


@given(st.text(st.characters(exclude_categories=['Cs']), min_size=1, max_size=300))
def test_store_names_are_safe(video_id):
    name = store_name(video_id)
    assert re.fullmatch(r'[A-Za-z0-9_][A-Za-z0-9._-]*-[0-9a-f]{8}|-[0-9a-f]{8}', name)
    assert len(name) <= 89 and is_inside(f'frames/{name}/000000.png')


@given(st.sets(st.text('aA./_ é', min_size=1, max_size=4), min_size=2))
def test_store_names_differ_also_where_case_does_not_count(video_ids):
    assert len({store_name(video_id).lower() for video_id in video_ids}) == len(video_ids)


def test_long_names_are_cut_but_stay_different():
    names = {store_name('a/' * 200 + end) for end in 'xy'}
    assert len(names) == 2 and {len(name) for name in names} == {89}


def make_folder(path, indices, color_at=None):
    path.mkdir()
    for index in indices:
        Image.fromarray(draw(index, color=index == color_at)).save(path / f'{index}.png')
    return path


def test_stored_frames_and_manifest(tmp_path):
    clip = write_clip(tmp_path / 'clip.avi', 30, 30)
    names = store_video('a/clip.avi', clip, tmp_path / 'out', SETTINGS)
    assert names == ['000000.png', '000001.png', '000002.png']
    frames = [cv2.imread(str(tmp_path / 'out' / name), cv2.IMREAD_UNCHANGED) for name in names]
    assert [index_of(frame) for frame in frames] == [0, 10, 20]
    assert {frame.shape for frame in frames} == {(32, 32)}
    manifest = json.loads((tmp_path / 'out/video.json').read_text())
    assert manifest['settings'] == {'fps': 3, 'size': 32, 'color': 'auto'}
    assert manifest['source']['bytes'] == clip.stat().st_size and len(manifest['source']['sha256']) == 64
    assert manifest['video_id'] == 'a/clip.avi' and manifest['frames'] == names
    assert (manifest['stored_as'], manifest['frames_decoded'], manifest['frame_rate']) == ('gray', 30, 30)
    assert manifest['frame_rate_assumed'] is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ['clip.avi', 'out']


@pytest.mark.parametrize(('color', 'channels'), [('auto', 3), ('color', 3), ('gray', 1)])
def test_one_coloured_frame_makes_the_video_coloured(tmp_path, color, channels):
    source = make_folder(tmp_path / 'src', range(4), color_at=2)
    names = store_video('src', source, tmp_path / 'out', StoreSettings(color=color))
    frames = [cv2.imread(str(tmp_path / 'out' / name), cv2.IMREAD_UNCHANGED) for name in names]
    assert {frame.ndim for frame in frames} == {2 if channels == 1 else 3} and len(frames) == 4
    if channels == 3:
        blue, _, red = frames[2][:16].reshape(-1, 3).mean(0)
        assert red > 2 * blue


def test_grey_video_can_be_stored_in_colour(tmp_path):
    store_video('src', make_folder(tmp_path / 'src', [1]), tmp_path / 'out', StoreSettings(color='color'))
    assert cv2.imread(str(tmp_path / 'out/000000.png'), cv2.IMREAD_UNCHANGED).ndim == 3


def test_damaged_video_leaves_nothing_and_takes_nothing(tmp_path):
    clip = write_clip(tmp_path / 'clip.avi')
    whole = clip.read_bytes()
    for content, left in (
        (whole[:9000], ['clip.avi']),
        (whole, ['clip.avi', 'out']),
        (whole[:9000], ['clip.avi', 'out']),
    ):
        clip.write_bytes(content)
        if content == whole:
            names = store_video('clip.avi', clip, tmp_path / 'out', SETTINGS)
        else:
            with pytest.raises(ClipError, match='truncated'):
                store_video('clip.avi', clip, tmp_path / 'out', SETTINGS)
        assert sorted(path.name for path in tmp_path.iterdir()) == left
    assert all((tmp_path / 'out' / name).stat().st_size for name in names)  # of the earlier, whole version


def test_an_empty_frame_is_made_again(tmp_path):
    clip = write_clip(tmp_path / 'clip.avi')
    names = store_video('clip.avi', clip, tmp_path / 'out', SETTINGS)
    assert find_complete(clip, tmp_path / 'out', SETTINGS) == names
    (tmp_path / 'out' / names[0]).write_bytes(b'')
    assert find_complete(clip, tmp_path / 'out', SETTINGS) is None


@pytest.fixture(params=['clip', 'folder'])
def stored(request, tmp_path):
    if request.param == 'clip':
        source = write_clip(tmp_path / 'clip.avi', 30, 30)
    else:
        source = make_folder(tmp_path / 'src', [1, 2])
    store_video('id', source, tmp_path / 'out', SETTINGS)
    assert find_complete(source, tmp_path / 'out', SETTINGS)
    return source, tmp_path / 'out'


def test_complete_video_is_found(stored):
    source, out = stored
    assert find_complete(source, out, SETTINGS) == sorted(path.name for path in out.glob('*.png'))


def test_other_settings_are_not_complete(stored):
    source, out = stored
    assert find_complete(source, out, StoreSettings(3, 31)) is None
    assert find_complete(source, out, StoreSettings(3, 32, 'gray')) is None
    # every frame of a folder is kept at any rate
    assert (find_complete(source, out, StoreSettings(4, 32)) is None) == source.is_file()


def test_changed_source_is_not_complete(stored):
    source, out = stored
    file = source if source.is_file() else source / '1.png'
    later = (out / 'video.json').stat().st_mtime + 1
    os.utime(file, (later, later))
    assert find_complete(source, out, SETTINGS) is None
    os.utime(file, (1, 1))
    assert find_complete(source, out, SETTINGS)
    file.write_bytes(file.read_bytes() + b' ')
    os.utime(file, (1, 1))
    assert find_complete(source, out, SETTINGS) is None


def test_new_frame_in_a_folder_is_not_complete(tmp_path):
    source = make_folder(tmp_path / 'src', [1])
    store_video('src', source, tmp_path / 'out', SETTINGS)
    (source / '2.png').write_bytes((source / '1.png').read_bytes())
    assert find_complete(source, tmp_path / 'out', SETTINGS) is None


def test_lost_frame_or_manifest_is_not_complete(stored):
    source, out = stored
    (out / '000001.png').unlink()
    assert find_complete(source, out, SETTINGS) is None
    for text in ('', '[]', '{}'):
        (out / 'video.json').write_text(text)
        assert find_complete(source, out, SETTINGS) is None
    (out / 'video.json').unlink()
    assert find_complete(source, out, SETTINGS) is None


def test_other_converter_version_is_not_complete(stored, monkeypatch):
    monkeypatch.setattr(video_store, 'CONVERTER_VERSION', 2)
    assert find_complete(stored[0], stored[1], SETTINGS) is None


def test_only_leftovers_are_removed(tmp_path):
    (tmp_path / '.tmp-a' / 'x').mkdir(parents=True)
    (tmp_path / 'a').mkdir()
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ['a']


def test_folder_appears_in_one_step(tmp_path, monkeypatch):
    source = make_folder(tmp_path / 'src', [1])

    def fail(*args):
        raise OSError('on purpose')

    monkeypatch.setattr(Path, 'rename', fail)
    with pytest.raises(OSError, match='on purpose'):
        store_video('src', source, tmp_path / 'out', SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ['src']
