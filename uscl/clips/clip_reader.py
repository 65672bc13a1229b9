"""Read a clip's sampled frames, or say what is wrong with it."""

import math
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from uscl.core.errors import ClipError

from .clip_structure import count_repeats, find_missing_end
from .frame_limits import LARGEST_FRAME, check_size
from .frame_sampling import ASSUMED_RATE, FrameSampler, next_time
from .media_suffixes import CLIP_SUFFIXES
from .video_display import VideoDisplay

# Containers of video only: FFmpeg would also take a text file, a picture or a playlist of addresses for a video.
_FORMATS = 'mov,mp4,m4a,3gp,3g2,mj2,avi,gif,matroska,webm,mpeg,mpegts,mpegvideo,m4v,asf,flv,ogg,mxf'
# An AVI with packed B-frames declares a frame or two more than it has; whether it was cut, its RIFF size tells.
_AVI_SLACK = 2
_AGAIN = 'copy or download it again'

av.logging.set_level(av.logging.PANIC)  # what FFmpeg would print, ClipError says with the clip's name


class ClipReader:
    """Iterate over the frames of a clip, or at a steady rate over some, by its own presentation times.

    Each frame is an RGB array (H, W, 3), uint8, as a player shows it: turned as the container says, with square pixels;
    the first frame of every interval of ``1 / fps`` seconds is kept. The clip is always decoded to its end, and damage
    is reported after the last frame, so use nothing before iteration has finished.

    Args:
        path: A clip in a container that FFmpeg reads.
        fps: Frames to keep in a second, above 0; None keeps all, and so does a clip with a lower rate.

    Attributes:
        times: After iteration, the seconds of the frames given, by the clip's own clock.
        facts: After iteration, see :attr:`uscl.clips.readers.Clip.facts`. The frame rate is assumed if the clip has no
            time stamps and no rate.

    Raises:
        ClipError: While iterating: empty, not a video, cut short, or with frames that do not decode or are too large.
    """

    def __init__(self, path: str | Path, fps: float | None = None) -> None:
        self.path = Path(path)
        self.fps = fps
        self.times: list[float] = []
        self.facts: dict = {}

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            if self.path.stat().st_size == 0:
                raise ClipError(self.path, f'the file is empty (0 bytes): {_AGAIN}')
            missing_end = find_missing_end(self.path)
            with self._open() as container:
                yield from self._sample(container, missing_end)
        except av.error.FFmpegError as error:
            if missing_end:
                raise ClipError(self.path, f'truncated: {missing_end}; {_AGAIN}') from error
            remedy = 'give a video, a DICOM file, an image or a folder of images'
            if self.path.suffix.lower() in CLIP_SUFFIXES:
                remedy = f'{_AGAIN}, or leave it out'
            raise ClipError(self.path, f'not a video that FFmpeg can read ({error.strerror}): {remedy}') from error
        except OSError as error:
            raise ClipError(
                self.path, f'the file cannot be opened ({error.strerror}): check the path and its rights'
            ) from error

    def _open(self, **options: str) -> 'av.container.InputContainer':
        # 'file:' and the whitelist: a file's name or content must not make FFmpeg open anything else.
        options |= {'protocol_whitelist': 'file', 'format_whitelist': _FORMATS}
        return av.open(f'file:{self.path.resolve()}', options=options, metadata_errors='replace')

    def _sample(self, container: 'av.container.InputContainer', missing_end: str | None) -> Iterator[np.ndarray]:
        if not container.streams.video:
            raise ClipError(self.path, 'it holds no video stream: leave it out')
        stream = container.streams.video[0]
        if stream.codec_context is None:
            what = f'truncated: {missing_end}; {_AGAIN}' if missing_end else 'FFmpeg has no decoder for it: convert it'
            raise ClipError(self.path, what)
        display = VideoDisplay(stream.sample_aspect_ratio)
        try:
            check_size(math.ceil(stream.codec_context.width * display.stretch), stream.codec_context.height)
        except ValueError as error:
            raise ClipError(self.path, f'wrong size: {error}; {_AGAIN}') from error
        largest = int(LARGEST_FRAME / display.stretch)
        stream.codec_context.options = {'max_pixels': str(largest)}  # the size may change later
        stream.codec_context.thread_count = 1  # clips are converted in parallel, one core each
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        time_base = float(stream.time_base or 0)
        sampler, time, is_avi = FrameSampler(self.fps, time_base), None, container.format.name == 'avi'
        decoded, damaged, rate_used = 0, 0, False
        for packet in _demux(container, stream):
            if packet is None or packet.is_corrupt:
                damaged += 1
                if packet is None:
                    break
            if packet.size == 0 and packet.dts is not None:  # show the last frame again; decoding it would end all
                continue
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                decoded += 1
                damaged += frame.is_corrupt
                rate_used |= frame.pts is None
                # An AVI holds the order of decoding alone; where B-frames change it, FFmpeg guesses wrong times.
                stamp = frame.pts if not is_avi or frame.dts is None else frame.dts
                time = next_time(stamp, time_base, time, 1 / (rate or ASSUMED_RATE))
                if sampler.keeps(time):
                    yield display.show(frame)
        self._check_whole(container, stream, decoded, damaged, missing_end)
        self.times = sampler.times
        self.facts = {
            'frames_decoded': decoded,
            'frame_rate': round(rate or ASSUMED_RATE, 6),
            **({'assumed': ['frame rate']} if rate_used and not rate else {}),
            **display.facts,
        }

    def _check_whole(
        self,
        container: 'av.container.InputContainer',
        stream: 'av.VideoStream',
        decoded: int,
        damaged: int,
        missing_end: str | None,
    ) -> None:
        declared = stream.frames
        if missing_end:
            count = f'{decoded} of {declared}' if declared > decoded else f'{decoded}'
            raise ClipError(self.path, f'truncated: {count} frames could be decoded, {missing_end}; {_AGAIN}')
        if decoded == 0:
            raise ClipError(self.path, f'damaged: no frame could be decoded; {_AGAIN}')
        if damaged:
            of = f' of {declared}' if declared else ''
            raise ClipError(
                self.path,
                f'damaged or truncated: {decoded}{of} frames could be decoded, {damaged} with errors; {_AGAIN}',
            )
        slack = _AVI_SLACK if container.format.name == 'avi' else 0
        if decoded < declared - slack and self._count_stored(stream.index) < declared - slack:
            raise ClipError(self.path, f'truncated: {decoded} of {declared} frames could be decoded; {_AGAIN}')

    def _count_stored(self, stream: int) -> int:
        """Frames in the file, also those that an MP4 edit list (a trimmed clip) hides, and repeats of an AVI."""
        with self._open(ignore_editlist='1') as container:
            packets = (packet for packet in container.demux(video=0) if not packet.is_corrupt)
            stored = sum(packet.size > 0 or packet.dts is not None for packet in packets)  # the last one ends decoding
        return stored + count_repeats(self.path, stream)


def _demux(container: 'av.container.InputContainer', stream: 'av.VideoStream') -> Iterator['av.Packet | None']:
    """Packets up to the end, or up to the first that cannot be read, for which None is given."""
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError:
        yield None
