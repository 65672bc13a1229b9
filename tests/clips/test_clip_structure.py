import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_clips import write_clip
from PIL import Image

from uscl.clips.clip_structure import find_missing_end

SUFFIXES = ('.mp4', '.mov', '.avi', '.gif', '.mkv', '.webm')


@pytest.fixture(scope='module')
def contents(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    return {suffix: write_clip(folder / f'clip{suffix}', 12).read_bytes() for suffix in (*SUFFIXES, '.mpeg', '.mpg')}


@pytest.mark.parametrize('suffix', [*SUFFIXES, '.mpeg', '.mpg'])
def test_whole_clip_misses_nothing(contents, tmp_path, suffix):
    clip = tmp_path / 'clip'  # recognised by content
    clip.write_bytes(contents[suffix])
    assert find_missing_end(clip) is None


@pytest.mark.parametrize('suffix', SUFFIXES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cut_at_any_byte_is_seen(contents, tmp_path, suffix, data):
    clip = tmp_path / 'cut'
    clip.write_bytes(contents[suffix][: data.draw(st.integers(64, len(contents[suffix]) - 1))])
    assert find_missing_end(clip)


@pytest.mark.parametrize('suffix', ['.mpeg', '.mpg'])
def test_a_cut_within_an_mpeg_packet_is_seen(contents, tmp_path, suffix):
    clip = tmp_path / 'cut'
    clip.write_bytes(contents[suffix][:5000])
    assert 'missing' in find_missing_end(clip)


def test_one_lost_byte_is_counted(contents, tmp_path):
    clip = tmp_path / 'cut'
    clip.write_bytes(contents['.avi'][:-1])
    assert find_missing_end(clip) == 'at least 1 byte missing at its end'


def test_mp4_without_index_says_so(contents, tmp_path):
    clip = tmp_path / 'cut'
    content = contents['.mp4']
    clip.write_bytes(content[: content.index(b'moov') - 4])  # cut exactly between two boxes
    assert 'moov' in find_missing_end(clip)


def test_appended_bytes_are_no_damage(contents, tmp_path):
    for suffix, tail in (
        ('.mp4', b'\xff\xfe--- notes ---'),
        ('.mpeg', bytes(4096)),
        ('.gif', b'\0\0'),
        ('.avi', b'xx'),
    ):
        clip = tmp_path / f'tail{suffix}'
        clip.write_bytes(contents[suffix] + tail)
        assert find_missing_end(clip) is None, suffix


def test_large_mp4_box_has_64_bit_size(tmp_path):
    clip = tmp_path / 'large'
    boxes = struct.pack('>I4s', 8, b'moov') + struct.pack('>I4sQ', 1, b'mdat', 116) + bytes(100)
    clip.write_bytes(struct.pack('>I4s', 8, b'ftyp') + boxes)
    assert find_missing_end(clip) is None
    clip.write_bytes(clip.read_bytes()[:-7])
    assert find_missing_end(clip) == 'at least 7 bytes missing at its end'


def test_gif_with_a_palette_for_every_frame(tmp_path):
    images = [Image.new('P', (8, 8), 1) for _ in range(3)]
    for shade, image in enumerate(images):
        image.putpalette([value for i in range(4) for value in (60 * i, 20 * shade, 0)])
    clip = tmp_path / 'clip.gif'
    images[0].save(clip, save_all=True, append_images=images[1:], duration=100)
    assert find_missing_end(clip) is None
    clip.write_bytes(clip.read_bytes()[:-1])
    assert find_missing_end(clip) == 'its last GIF block is cut off'


def test_live_matroska_of_unknown_length_is_accepted(contents, tmp_path):
    content = bytearray(contents['.mkv'])
    start = content.index(b'\x18\x53\x80\x67') + 4
    assert content[start] == 1  # FFmpeg writes an eight-byte size
    content[start : start + 8] = b'\x01' + b'\xff' * 7
    clip = tmp_path / 'live'
    clip.write_bytes(content)
    assert find_missing_end(clip) is None


def test_other_content_is_not_judged(tmp_path):
    clip = tmp_path / 'notes.mp4'
    clip.write_text('no clip at all')
    assert find_missing_end(clip) is None
