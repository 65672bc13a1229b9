import re
import struct
from fractions import Fraction
from types import SimpleNamespace
from unittest.mock import patch

import av
import numpy as np
import pytest
from media_clips import CODECS, index_of, write_clip
from PIL import Image

from uscl.clips.clip_reader import ClipReader
from uscl.clips.media_suffixes import CLIP_SUFFIXES
from uscl.clips.video_display import VideoDisplay
from uscl.core.errors import ClipError

CUTS = (0.3, 0.6, 0.9)


def sampled(path, fps=3):
    return [index_of(frame) for frame in ClipReader(path, fps)]


def reason_of(path):
    with pytest.raises(ClipError) as caught:
        list(ClipReader(path))
    assert caught.value.path == path
    return caught.value.reason


def expected_indices(times, fps):
    """Slow reference: walk the intervals of 1 / fps, and take the first frame in each."""
    kept, interval = [], 0
    while interval / Fraction(fps) <= times[-1] - times[0]:
        start, end = Fraction(interval, fps), Fraction(interval + 1, fps)
        inside = [i for i, t in enumerate(times) if start <= t - times[0] < end]
        kept += inside[:1]
        interval += 1
    return kept


@pytest.mark.parametrize('rate', [10, 25, 30])
@pytest.mark.parametrize('suffix', ['.mp4', '.avi', '.gif', '.mov', '.mpeg', '.mkv', '.webm', '.m4v'])
def test_keeps_the_first_frame_of_every_interval(tmp_path, suffix, rate):
    clip = write_clip(tmp_path / f'clip{suffix}', 45, rate)
    # GIF counts in hundredths of a second, so 30 fps cannot be stored exactly: what is stored decides.
    ticks = 100 if suffix == '.gif' else rate
    times = [Fraction(round(i * ticks / rate), ticks) for i in range(45)]
    assert sampled(clip) == expected_indices(times, 3)


def test_mpeg1_at_25(tmp_path):
    assert sampled(write_clip(tmp_path / 'clip.mpg', 45, 25)) == [0, 9, 17, 25, 34, 42]


@pytest.mark.parametrize('fps', [1, 2, 5, 7])
def test_other_sampling_rates(tmp_path, fps):
    clip = write_clip(tmp_path / 'clip.avi', 45, 25)
    assert sampled(clip, fps) == expected_indices([Fraction(i, 25) for i in range(45)], fps)


def test_slow_gif_keeps_every_frame(tmp_path):
    assert sampled(write_clip(tmp_path / 'clip.gif', 6, 1)) == list(range(6))


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.gif'])
def test_variable_rate(tmp_path, suffix):
    times = [0, 0.1, 0.2, 0.9, 1.0, 1.1, 3.0, 3.05, 3.1, 3.4, 3.7, 3.72, 5.0]
    clip = write_clip(tmp_path / f'clip{suffix}', rate=20, times=times)
    assert sampled(clip) == expected_indices([Fraction(str(t)) for t in times], 3) == [0, 3, 4, 6, 9, 10, 12]


def test_facts(tmp_path):
    reader = ClipReader(write_clip(tmp_path / 'clip.mp4', 20, 25))
    list(reader)
    assert reader.facts == {'frames_decoded': 20, 'frame_rate': 25.0}


def test_colour_and_pixel_order(tmp_path):
    frame = next(iter(ClipReader(write_clip(tmp_path / 'clip.mp4', 5, color=True))))
    assert frame.shape == (64, 64, 3) and frame.dtype == np.uint8
    top = frame[8:24].reshape(-1, 3).mean(0)
    assert top[0] > 2 * top[1] and abs(top[1] - top[2]) < 15


def test_transparent_parts_of_a_gif_are_black(tmp_path):
    images = [Image.new('RGBA', (32, 32), (0, 0, 0, 0)) for _ in range(2)]
    for i, image in enumerate(images):
        image.paste((200, 200, 200, 255), (0, 0, 16, 16 + i))
    images[0].save(tmp_path / 'clip.gif', save_all=True, append_images=images[1:], duration=500)
    frame = next(iter(ClipReader(tmp_path / 'clip.gif')))
    assert frame[4, 4].tolist() == [200] * 3 and frame[30, 30].tolist() == [0] * 3


@pytest.mark.parametrize('cut', CUTS)
@pytest.mark.parametrize('suffix', sorted(CODECS))
def test_truncated_clip(tmp_path, suffix, cut):
    clip = write_clip(tmp_path / f'clip{suffix}')
    content = clip.read_bytes()
    clip.write_bytes(content[: int(len(content) * cut)])
    reason = reason_of(clip)
    assert 'truncated' in reason and 'copy or download it again' in reason


@pytest.mark.parametrize('cut', CUTS)
def test_truncated_clip_with_its_index_in_front_counts_frames(tmp_path, cut):
    clip = write_clip(tmp_path / 'clip.mp4', movflags='faststart')
    content = clip.read_bytes()
    clip.write_bytes(content[: int(len(content) * cut)])
    decoded = int(reason_of(clip).removeprefix('truncated: ').split(' of 45 frames could be decoded')[0])
    assert 45 * cut - 15 < decoded < 45 * cut + 5


def test_mpeg_cut_between_two_packs(tmp_path):
    clip = write_clip(tmp_path / 'clip.mpeg')
    content = clip.read_bytes()
    cut = content.index(b'\x00\x00\x01\xba', len(content) // 2)
    clip.write_bytes(content[:cut])
    assert 'truncated' in reason_of(clip)


def test_hole_in_the_middle(tmp_path):
    clip = write_clip(tmp_path / 'clip.mp4')
    content = bytearray(clip.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    clip.write_bytes(content)
    assert 'damaged' in reason_of(clip)


def test_empty_file(tmp_path):
    clip = tmp_path / 'clip.mp4'
    clip.touch()
    assert reason_of(clip) == 'the file is empty (0 bytes): copy or download it again'


def test_absent_file(tmp_path):
    assert 'cannot be opened (No such file' in reason_of(tmp_path / 'clip.mp4')


@pytest.mark.parametrize('kind', ['text', 'picture', 'playlist'])
def test_not_a_video(tmp_path, kind):
    clip = tmp_path / 'clip.mp4'
    if kind == 'picture':
        Image.new('L', (32, 32)).save(clip, 'PNG')
    else:
        other = write_clip(tmp_path / 'other.avi', 5)
        clip.write_text({'text': 'notes\n' * 999, 'playlist': f'ffconcat version 1.0\nfile {other.name}\n'}[kind])
    assert reason_of(clip).startswith('not a video that FFmpeg can read')


def test_sound_only(tmp_path):
    clip = tmp_path / 'clip.mov'
    with av.open(str(clip), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000, layout='mono')
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format='s16', layout='mono')
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    assert reason_of(clip) == 'it holds no video stream: leave it out'


def test_name_is_not_taken_for_an_address(tmp_path, monkeypatch):
    write_clip(tmp_path / 'clip.avi', 5).rename(tmp_path / 'http:clip %03d.avi')
    monkeypatch.chdir(tmp_path)
    assert sampled('http:clip %03d.avi', 30) == list(range(5))


def test_trimmed_mp4_is_whole_and_shows_only_what_it_should(tmp_path):
    clip = write_clip(tmp_path / 'clip.m4v', 45, 30)
    content = bytearray(clip.read_bytes())
    at = content.index(b'elst') + 4  # version and flags, entry count, then duration, media time of the only entry
    count, duration, media_time = struct.unpack('>IIi', content[at + 4 : at + 16])
    ticks = struct.unpack('>I', content[content.index(b'mdhd') + 16 : content.index(b'mdhd') + 20])[0]
    assert count == 1 and media_time == 0
    content[at + 8 : at + 16] = struct.pack('>Ii', duration // 2, ticks // 2)  # leave out the first half second
    clip.write_bytes(content)
    indices = sampled(clip)
    assert indices[0] == 15 and indices[-1] < 40


class FakeFrame:
    """A decoded frame with any time stamp, which no muxer would write."""

    is_corrupt = False

    def __init__(self, index, pts):
        self.index, self.pts = index, pts


class FakePacket(SimpleNamespace):
    """A packet of given frames, or one that does not decode."""

    is_corrupt, size, dts = False, 1, 0

    def decode(self):
        if self.error:
            raise self.error
        return self.frames


def sample_stamps(tmp_path, stamps, rate, declared=0, **packet):
    frames = [FakeFrame(i, pts) for i, pts in enumerate(stamps)]
    packets = [FakePacket(frames=frames, error=None)]
    if packet:
        packets.append(FakePacket(frames=[], **packet))
    stream = SimpleNamespace(
        codec_context=SimpleNamespace(width=64, height=64),
        average_rate=rate,
        guessed_rate=None,
        time_base=Fraction(1, 10),
        frames=declared,
        index=0,
        sample_aspect_ratio=None,
    )
    container = SimpleNamespace(
        streams=SimpleNamespace(video=[stream]), demux=lambda _: iter(packets), format=SimpleNamespace(name='fake')
    )
    reader = ClipReader(tmp_path / 'clip')
    with patch.object(VideoDisplay, 'show', lambda self, frame: frame.index):
        return list(reader._sample(container, 5, None)), reader.facts


def test_no_stamps_and_no_rate_assumes_25(tmp_path):
    indices, facts = sample_stamps(tmp_path, [None] * 12, rate=None)
    assert indices == [0, 5, 10]
    assert facts['frame_rate'] == 25 and facts['assumed'] == ['frame rate']


def test_no_stamps_takes_the_rate(tmp_path):
    indices, facts = sample_stamps(tmp_path, [None] * 12, rate=20)
    assert indices == [0, 4, 8]
    assert facts['frame_rate'] == 20 and 'assumed' not in facts


def test_stamps_that_start_again_duplicate_and_lose_nothing(tmp_path):
    # Ten a second; two recordings glued together.
    indices, _ = sample_stamps(tmp_path, [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5], rate=10)
    assert indices == [0, 2, 4, 6, 8, 10]


def test_repeated_stamp(tmp_path):
    indices, _ = sample_stamps(tmp_path, [0, 0, 0, 2, 2, 4], rate=100)
    assert indices == [0, 3, 5]


def test_packet_that_does_not_decode_is_damage(tmp_path):
    error = av.error.InvalidDataError(1, 'on purpose')
    with pytest.raises(ClipError, match='damaged or truncated: 12 of 13 frames could be decoded, 1 with errors'):
        sample_stamps(tmp_path, range(12), rate=10, declared=13, error=error)


def test_video_without_frames(tmp_path):
    with pytest.raises(ClipError, match='no frame could be decoded'):
        sample_stamps(tmp_path, [], rate=10)


def test_fewer_frames_than_declared(tmp_path):
    clip = write_clip(tmp_path / 'clip.avi', 45)
    content = bytearray(clip.read_bytes()[: clip.stat().st_size // 2])
    content[4:8] = struct.pack('<I', len(content) - 8)  # as if the container were whole
    clip.write_bytes(content)
    assert re.fullmatch(r'.*truncated: 2\d of 45 frames could be decoded.*', reason_of(clip))


def list_clips(real_data):
    found = [p for name in ('pocus', 'covid_blues') for p in sorted((real_data / name).rglob('*'))]
    return [path for path in found if path.suffix in CLIP_SUFFIXES]


@pytest.mark.slow
@pytest.mark.parametrize('cut', CUTS)
def test_every_cut_real_clip_is_seen(real_data, tmp_path, cut):
    """Whole ones raise no false alarm: tests/tools/test_videos_to_clusters.py converts them all."""
    clips = list_clips(real_data)
    assert len(clips) == 47 + 252
    for clip in clips[::3]:
        content = clip.read_bytes()
        short = tmp_path / f'short{clip.suffix}'
        short.write_bytes(content[: int(len(content) * cut)])
        assert 'truncated' in reason_of(short), clip
