import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
from media_clips import draw, index_of, write_clip
from PIL import Image

from uscl.convert.videos import frame_decoding
from uscl.convert.videos.frame_decoding import decode_video, is_current
from uscl.convert.videos.store_settings import StoreSettings
from uscl.core.errors import ClipError
from uscl.data.frame_store import StoredVideo

SETTINGS = StoreSettings(fps=3, size=32, min_frames=1)


def make_folder(path, indices, color_at=None):
    path.mkdir()
    for index in indices:
        Image.fromarray(draw(index, color=index == color_at)).save(path / f'{index}.png')
    return path


def decode(source, folder, settings=SETTINGS, **kwargs):
    """Frames as they are stored, and the facts."""
    raw = folder / 'raw'
    decoded = decode_video(source, raw, settings, **kwargs)
    content, frames, start = np.fromfile(raw, np.uint8), [], 0
    for count, *size in decoded.shapes:
        for _ in range(count):
            frames.append(content[start : start + int(np.prod(size))].reshape(size))
            start += int(np.prod(size))
    assert start == len(content)
    return frames, decoded.facts


def test_frames_and_facts(tmp_path):
    clip = write_clip(tmp_path / 'clip.avi', 30, 30)
    frames, facts = decode(clip, tmp_path)
    assert [index_of(frame) for frame in frames] == [0, 10, 20]
    assert {frame.shape for frame in frames} == {(32, 32)}
    known = {'fps': 3, 'size': 32, 'color': 'auto', 'mask_tolerance': None, 'min_frames': 1}
    assert facts['settings'] == known | {'third_axis_time': False}
    assert facts['source']['bytes'] == clip.stat().st_size and len(facts['source']['sha256']) == 64
    assert (facts['stored_as'], facts['frames_decoded'], facts['frame_rate']) == ('gray', 30, 30)
    assert 'assumed' not in facts
    assert 'clip.avi' not in str(facts)  # names are the annotation's business


@pytest.mark.parametrize(('color', 'channels'), [('auto', 3), ('color', 3), ('gray', 1)])
def test_one_coloured_frame_makes_the_video_coloured(tmp_path, color, channels):
    frames, _ = decode(make_folder(tmp_path / 'src', range(4), color_at=2), tmp_path, StoreSettings(color=color))
    assert {frame.ndim for frame in frames} == {2 if channels == 1 else 3} and len(frames) == 4
    if channels == 3:
        blue, _, red = frames[2][:16].reshape(-1, 3).mean(0)
        assert red > 2 * blue


def test_grey_video_can_be_stored_in_colour(tmp_path):
    ((frame, *_), _) = decode(make_folder(tmp_path / 'src', [1]), tmp_path, StoreSettings(color='color'))
    assert frame.ndim == 3


@pytest.mark.parametrize('color_at', [None, 1])
def test_images_to_look_at_are_the_stored_frames(tmp_path, color_at):
    source = make_folder(tmp_path / 'src', range(3), color_at)
    (tmp_path / 'png').mkdir()
    (tmp_path / 'png/of_before.png').touch()
    frames, _ = decode(source, tmp_path, images=tmp_path / 'png')
    images = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted((tmp_path / 'png').iterdir())]
    for one, other in zip(frames, images, strict=True):
        np.testing.assert_array_equal(one, other)


def test_damaged_video_is_refused(tmp_path):
    clip = write_clip(tmp_path / 'clip.avi')
    clip.write_bytes(clip.read_bytes()[:9000])
    with pytest.raises(ClipError, match='truncated'):
        decode(clip, tmp_path)


@pytest.fixture(params=['clip', 'folder'])
def stored(request, tmp_path):
    """A source and what is stored of it."""
    clip = request.param == 'clip'
    source = write_clip(tmp_path / 'clip.avi', 30, 30) if clip else make_folder(tmp_path / 'src', [1, 2])
    _, facts = decode(source, tmp_path)
    video = StoredVideo('a.safetensors', 0, ((1, 2, 2),), 0, facts)
    assert is_current(source, video, SETTINGS) and not is_current(source, None, SETTINGS)
    return source, video


def test_other_settings_are_not_current(stored):
    source, video = stored
    assert not is_current(source, video, replace(SETTINGS, size=31))
    assert not is_current(source, video, replace(SETTINGS, color='gray'))
    assert not is_current(source, video, replace(SETTINGS, mask_tolerance=8))
    for other in ({'fps': 4}, {'min_frames': 2}):  # every frame of a folder is kept
        assert is_current(source, video, replace(SETTINGS, **other)) == source.is_dir()


def test_changed_source_is_not_current(stored):
    source, video = stored
    file = source if source.is_file() else source / '1.png'
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, video.facts['source']['mtime_ns'] + 1))
    assert not is_current(source, video, SETTINGS)
    file.write_bytes(file.read_bytes() + b' ')
    os.utime(file, ns=(status.st_atime_ns, video.facts['source']['mtime_ns']))
    assert not is_current(source, video, SETTINGS)
    file.unlink()
    assert not is_current(source, video, SETTINGS)


def test_new_frame_in_a_folder_is_not_current(tmp_path):
    source = make_folder(tmp_path / 'src', [1])
    video = StoredVideo('a.safetensors', 0, ((1, 2, 2),), 0, decode(source, tmp_path)[1])
    (source / '2.png').write_bytes((source / '1.png').read_bytes())
    assert not is_current(source, video, SETTINGS)


@pytest.mark.parametrize('facts', [{}, {'source': None}, {'converter_version': 3, 'settings': 3, 'source': {}}])
def test_facts_of_another_program_are_not_current(stored, facts):
    source, _ = stored
    assert not is_current(source, StoredVideo('a.safetensors', 0, ((1, 2, 2),), 0, facts), SETTINGS)


def test_other_converter_version_is_not_current(stored, monkeypatch):
    monkeypatch.setattr(frame_decoding, 'CONVERTER_VERSION', frame_decoding.CONVERTER_VERSION + 1)
    assert not is_current(*stored, SETTINGS)
