import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange
from hypothesis import given
from hypothesis import strategies as st

from uscl.clips import open_clip
from uscl.clips.video_display import VideoDisplay
from uscl.core.errors import ClipError

ORIENTATIONS = {  # mirrored?, quarter turns clockwise; where a step to the right (a, b) and one down (c, d) lead
    None: (False, 0, (1, 0, 0, 1)),
    'rotated 90°': (False, 1, (0, 1, -1, 0)),
    'rotated 180°': (False, 2, (-1, 0, 0, -1)),
    'rotated 270°': (False, 3, (0, -1, 1, 0)),
    'mirrored': (True, 0, (-1, 0, 0, 1)),
    'mirrored and rotated 90°': (True, 1, (0, -1, -1, 0)),
    'mirrored and rotated 180°': (True, 2, (1, 0, 0, -1)),
    'mirrored and rotated 270°': (True, 3, (0, 1, 1, 0)),
}


def write(path, aspect=None, matrix=None, size=(32, 48)):
    """Write three frames of noise; the matrix goes into the track header, as ISO 14496-12 lays it out."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, *size, 1), np.uint8).repeat(3, axis=3)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        (stream.height, stream.width), stream.pix_fmt = size, 'yuv420p'
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for frame in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24').reformat(format='yuv420p')))
        container.mux(stream.encode(None))
    if matrix is not None:
        (a, b, c, d), content = matrix, bytearray(path.read_bytes())
        at = content.index(b'tkhd') + 44
        assert struct.unpack('>9i', content[at : at + 36])[:5] == (1 << 16, 0, 0, 0, 1 << 16)
        content[at : at + 36] = struct.pack('>9i', a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
        path.write_bytes(content)
    return path


def as_stored(path):
    """All frames as they were coded, and how FFmpeg would turn them, in degrees anticlockwise."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [frame.to_ndarray(format='rgb24') for frame in frames], {frame.rotation for frame in frames}


def read(path):
    clip = open_clip(path)
    return list(clip), clip.facts


def moved(frame, a, b, c, d):
    """Every pixel where the matrix sends it, and the whole back into the positive quadrant."""
    y, x = np.indices(frame.shape[:2])
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    result = np.empty((to_y.max() + 1, to_x.max() + 1, 3), frame.dtype)
    result[to_y, to_x] = frame
    return result


def twice_as_wide(frame):
    """Bilinear interpolation by hand: a new pixel's centre lies a quarter of an old one from the nearest centre."""
    padded = np.pad(frame.astype(float), ((0, 0), (1, 1), (0, 0)), 'edge')
    old, left, right = padded[:, 1:-1], padded[:, :-2], padded[:, 2:]
    return np.stack([0.75 * old + 0.25 * left, 0.75 * old + 0.25 * right], axis=2).reshape(32, 96, 3)


@pytest.mark.parametrize('name', ORIENTATIONS)
def test_frames_stand_upright(tmp_path, name):
    mirrored, quarters, matrix = ORIENTATIONS[name]
    path = write(tmp_path / 'a.mp4', matrix=matrix)
    frames, facts = read(path)
    stored, rotations = as_stored(path)
    expected = [np.rot90(np.fliplr(frame) if mirrored else frame, -quarters) for frame in stored]
    np.testing.assert_array_equal(frames, expected)
    np.testing.assert_array_equal(frames, [moved(frame, *matrix) for frame in stored])
    assert facts.get('turned') == name and 'rescaled' not in facts
    if not mirrored:
        assert {rotation % 360 for rotation in rotations} == {-90 * quarters % 360}
    assert all(frame.flags.c_contiguous for frame in frames)


def test_a_matrix_that_turns_by_odd_angles_is_taken_to_the_nearest_quarter(tmp_path):
    path = write(tmp_path / 'a.mp4', matrix=(1, 0, 0, 1))
    content = bytearray(path.read_bytes())
    at = content.index(b'tkhd') + 44
    content[at : at + 20] = struct.pack('>5i', 22414, 61584, 0, -61584, 22414)  # 70 degrees clockwise
    path.write_bytes(content)
    assert read(path)[0][0].shape == (48, 32, 3) and read(path)[1]['turned'] == 'rotated 90°'


@pytest.mark.parametrize('aspect', [Fraction(2), Fraction(1, 2)])
def test_pixels_are_made_square_by_enlarging_the_side_with_too_few(tmp_path, aspect):
    path = write(tmp_path / 'a.mp4', aspect)
    frames, facts = read(path)
    stored, _ = as_stored(path)
    assert facts['rescaled'] == [f'pixel aspect {aspect.numerator}:{aspect.denominator}'] and 'turned' not in facts
    for frame, raw in zip(frames, stored, strict=True):
        assert frame.dtype == np.uint8 and frame.shape == ((32, 96, 3) if aspect > 1 else (64, 48, 3))
        if aspect > 1:
            assert np.abs(frame - twice_as_wide(raw)).max() <= 1


def test_pixel_aspect_belongs_to_the_frame_before_it_is_turned(tmp_path):
    path = write(tmp_path / 'a.mp4', Fraction(2), (0, 1, -1, 0))
    frames, facts = read(path)
    stored, _ = as_stored(path)
    assert np.abs(frames[0] - np.rot90(twice_as_wide(stored[0]), -1)).max() <= 1
    assert facts['turned'] == 'rotated 90°' and facts['rescaled'] == ['pixel aspect 2:1']


@pytest.mark.parametrize('aspect', [None, Fraction(1), Fraction(254, 255)])
def test_square_pixels_are_left_alone(tmp_path, aspect):
    path = write(tmp_path / 'a.mp4', aspect)
    frames, facts = read(path)
    np.testing.assert_array_equal(frames, as_stored(path)[0])
    assert facts == {'frames_decoded': 3, 'frame_rate': 10.0}


def test_an_aspect_that_would_fill_the_memory(tmp_path):
    path = write(tmp_path / 'a.mp4', Fraction(255), size=(400, 400))
    with pytest.raises(ClipError, match='wrong size') as caught:
        read(path)
    assert caught.value.path == path


@given(
    st.lists(
        st.tuples(
            st.sampled_from(['yuv420p', 'yuvj420p', 'yuv444p', 'yuv420p10le', 'gray', 'gray10le', 'rgb24', 'bgr0']),
            st.integers(2, 40),
            st.integers(2, 40),
            st.sampled_from(['UNSPECIFIED', 'MPEG', 'JPEG']),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_a_frame_does_not_depend_on_those_before_it(shapes):
    """Its size, format and range may change within a video."""
    display = VideoDisplay(None)
    for seed, (kind, width, height, levels) in enumerate(shapes):
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format='rgb24').reformat(format=kind)
        frame.color_range = ColorRange[levels]
        alone = VideoDisplay(None).show(frame)
        np.testing.assert_array_equal(display.show(frame), alone)
        np.testing.assert_array_equal(frame.to_ndarray(format='rgb24'), alone)
