"""AVIs that repeat pictures: their headers count chunks without bytes, which no decoder sees."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_clips import draw, index_of, write_clip

from uscl.clips import open_clip
from uscl.clips.clip_structure import count_repeats
from uscl.core.errors import ClipError

UNEVEN = [0, 1, 2, 5, 6, 9, 10, 11, 20, 21, 22, 30, 31, 32, 33, 34, 40, 41, 42, 43]
CODECS = {'mjpeg': 'yuvj420p', 'mpeg4': 'yuv420p', 'libx264': 'yuv420p'}
EMPTY = b'00dc' + bytes(4)


def write_avi(path, codec, stamps):
    """Write a picture for every stamp, in 30ths of a second; FFmpeg fills the gaps with chunks without bytes."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=30)
        stream.width = stream.height = 64
        stream.pix_fmt, stream.bit_rate = CODECS[codec], 4_000_000
        for index, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(draw(index), format='rgb24').reformat(format=CODECS[codec])
            frame.time_base, frame.pts = Fraction(1, 30), stamp
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_index(content):
    """Slow reference: offset and length of every chunk, by the index at the end of the file."""
    at = content.rindex(b'idx1')
    (size,) = struct.unpack('<I', content[at + 4 : at + 8])
    entries = [struct.unpack('<4sIII', content[k : k + 16]) for k in range(at + 8, at + 8 + size, 16)]
    return [(content.index(b'movi') + offset, length) for _, _, offset, length in entries]


@pytest.fixture(scope='module')
def contents(tmp_path_factory):
    folder = tmp_path_factory.mktemp('avi')
    return {codec: write_avi(folder / f'{codec}.avi', codec, UNEVEN).read_bytes() for codec in CODECS}


def patched(content):
    """The same bytes, with a RIFF size as if that were all."""
    return content[:4] + struct.pack('<I', len(content) - 8) + content[8:]


@pytest.mark.parametrize('codec', CODECS)
@pytest.mark.parametrize('stamps', [UNEVEN, range(0, 40, 2)], ids=['uneven', 'doubled'])
def test_a_whole_clip_gives_all_of_its_pictures_at_their_times(tmp_path, codec, stamps):
    path = write_avi(tmp_path / 'a.avi', codec, stamps)
    assert EMPTY in path.read_bytes()
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames > len(stamps) + 10
    clip = open_clip(path)
    assert [index_of(frame) for frame in clip] == list(range(len(stamps)))
    assert clip.facts['frames_decoded'] == len(stamps)
    known = len(stamps) - 2 * (codec == 'libx264')  # an AVI does not say when the last reordered pictures are shown
    steps = (np.array(clip.times[:known]) - clip.times[0]) * 30
    np.testing.assert_allclose(steps, stamps[:known], atol=1e-6)
    assert (np.diff(clip.times) > 0).all()


def test_reordered_pictures_of_a_steady_rate_are_a_period_apart(tmp_path):
    clip = open_clip(write_avi(tmp_path / 'a.avi', 'libx264', range(45)))
    assert [index_of(frame) for frame in clip] == list(range(45))
    np.testing.assert_allclose(np.diff(clip.times), 1 / 30)


@pytest.mark.parametrize('codec', CODECS)
def test_repeats_are_those_of_the_index(contents, tmp_path, codec):
    path = tmp_path / 'a.avi'
    path.write_bytes(contents[codec])
    assert count_repeats(path, 0) == sum(length == 0 for _, length in read_index(contents[codec])) > 10
    assert count_repeats(path, 1) == 0
    path.write_bytes(
        contents[codec] + b'RIFF' + struct.pack('<I', 20) + b'AVIXLIST' + struct.pack('<I', 12) + b'movi' + EMPTY
    )
    assert count_repeats(path, 0) == 1 + sum(length == 0 for _, length in read_index(contents[codec]))
    assert count_repeats(write_clip(tmp_path / 'a.mp4', 5), 0) == 0


@pytest.mark.parametrize('codec', CODECS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cut_clip_is_refused(contents, tmp_path, codec, data):
    """Bytes are missing anywhere between its header and its end, or from one chunk to another."""
    content = contents[codec]
    index = read_index(content)
    borders = [position for position, _ in index] + [len(content)]
    place = st.sampled_from(borders) if data.draw(st.booleans()) else st.integers(borders[0], len(content))
    start, stop = sorted(data.draw(st.lists(place, min_size=2, max_size=2, unique=True)))
    path = tmp_path / 'cut.avi'
    path.write_bytes(content[:start] + content[stop:])
    with pytest.raises(ClipError, match='truncated') as caught:
        list(open_clip(path))
    assert caught.value.path == path


@pytest.mark.parametrize('codec', CODECS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whole_chunks_that_the_header_counts_are_missed(contents, tmp_path, codec, data):
    """Also if the container was made to look whole, and whatever the chunks hold; two may be a matter of counting."""
    content = contents[codec]
    borders = [position for position, _ in read_index(content)]
    first = data.draw(st.integers(0, len(borders) - 4))
    last = data.draw(st.integers(first + 3, len(borders) - 1))
    path = tmp_path / 'cut.avi'
    tail = content[borders[last] :] if data.draw(st.booleans()) else b''
    path.write_bytes(patched(content[: borders[first]] + tail))
    with pytest.raises(ClipError) as caught:
        list(open_clip(path))
    assert caught.value.path == path


def test_an_empty_frame_of_a_mov_repeats_the_one_before(tmp_path):
    path = tmp_path / 'a.mov'
    write_avi(path, 'mjpeg', range(10))
    content = bytearray(path.read_bytes())
    at = content.index(b'stsz') + 16  # the lengths of ten frames
    content[at + 16 : at + 20] = bytes(4)
    path.write_bytes(content)
    clip = open_clip(path)
    assert len(list(clip)) == clip.facts['frames_decoded'] == 9
