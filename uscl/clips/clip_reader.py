"""Read the frames of a video, or say what is wrong with it."""

import math
from collections.abc import Iterator

import av
import numpy as np

from uscl.core.errors import ClipError
from uscl.core.plurals import counted

from .clip import Clip
from .clip_structure import count_repeats, find_missing_end
from .frame_limits import LARGEST_FRAME, check_size
from .frame_sampling import ASSUMED_RATE, FrameSampler
from .media_suffixes import CLIP_SUFFIXES
from .video_display import VideoDisplay

# Containers of video only: FFmpeg would also read a text file, a picture or a playlist of addresses as a video.
_FORMATS = 'mov,mp4,m4a,3gp,3g2,mj2,avi,gif,matroska,webm,mpeg,mpegts,mpegvideo,m4v,asf,flv,ogg,mxf'
# An AVI with packed B-frames declares a frame or two more than it has; its RIFF size shows whether it was cut.
_AVI_SLACK = 2
_AGAIN = 'copy or download it again'

av.logging.set_level(av.logging.PANIC)  # ClipError says what FFmpeg would print, with the clip's name


class ClipReader(Clip):
    """A video in a container that FFmpeg reads, sampled by its own presentation times.

    Frames are shown as by a player: turned as the container says, with square pixels. The clip is always decoded to its
    end, and damage is reported after the last frame. The frame rate is assumed if the clip has no time stamps and no
    rate. Arguments, attributes and errors are those of :class:`~uscl.clips.clip.Clip`.
    """

    def decode(self, fps: float | None) -> Iterator[np.ndarray]:
        """Decode the video; see the class."""
        if self.path.stat().st_size == 0:
            raise ClipError(self.path, f'the file is empty (0 bytes): {_AGAIN}')
        missing_end = find_missing_end(self.path)
        try:
            with self._open() as container:
                yield from self._sample(container, fps, missing_end)
        except av.error.FFmpegError as error:
            if missing_end:
                raise ClipError(self.path, f'truncated: {missing_end}; {_AGAIN}') from error
            remedy = 'give a video, a DICOM file, an image or a folder of images'
            if self.path.suffix.lower() in CLIP_SUFFIXES:
                remedy = f'{_AGAIN}, or leave it out'
            raise ClipError(self.path, f'not a video that FFmpeg can read ({error.strerror}): {remedy}') from error

    def _open(self, **options: str) -> 'av.container.InputContainer':
        # 'file:' and the whitelists keep a file's name or content from making FFmpeg open anything else.
        options |= {'protocol_whitelist': 'file', 'format_whitelist': _FORMATS}
        return av.open(f'file:{self.path.resolve()}', options=options, metadata_errors='replace')

    def _sample(
        self, container: 'av.container.InputContainer', fps: float | None, missing_end: str | None
    ) -> Iterator[np.ndarray]:
        if not container.streams.video:
            raise ClipError(self.path, 'it holds no video stream: leave it out')
        stream = container.streams.video[0]
        if stream.codec_context is None:
            what = f'truncated: {missing_end}; {_AGAIN}' if missing_end else 'FFmpeg has no decoder for it: convert it'
            raise ClipError(self.path, what)
        display = VideoDisplay(stream.sample_aspect_ratio)
        check_size(math.ceil(stream.codec_context.width * display.stretch), stream.codec_context.height)
        largest = int(LARGEST_FRAME / display.stretch)
        stream.codec_context.options = {'max_pixels': str(largest)}  # the size may change later
        stream.codec_context.thread_count = 1  # clips are converted in parallel, one core each
        stated_rate = float(stream.average_rate or stream.guessed_rate or 0)
        rate = stated_rate or ASSUMED_RATE
        time_base, is_avi = float(stream.time_base or 0), container.format.name == 'avi'
        sampler = FrameSampler(fps, time_base, 1 / rate)
        decoded, damaged, rate_used = 0, 0, False
        for packet in _demux(container, stream):
            if packet is None or packet.is_corrupt:
                damaged += 1
                if packet is None:
                    break
            if packet.size == 0 and packet.dts is not None:  # shows the last frame again; decoding it would end all
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
                # An AVI only holds the decoding order; where B-frames change it, FFmpeg guesses wrong times.
                ticks = frame.dts if is_avi and frame.dts is not None else frame.pts
                if sampler.keeps(None if ticks is None else ticks * time_base):
                    yield display.show(frame)
        self._check_whole(container, decoded, damaged, missing_end)
        self.report(
            sampler,
            frames_decoded=decoded,
            frame_rate=round(rate, 6),
            assumed=['frame rate'] if rate_used and not stated_rate else [],
            **display.facts,
        )

    def _check_whole(
        self, container: 'av.container.InputContainer', decoded: int, damaged: int, missing_end: str | None
    ) -> None:
        stream = container.streams.video[0]
        declared = stream.frames
        count = f'{decoded} of {counted(declared, "frame")}' if declared else counted(decoded, 'frame')
        if missing_end:
            raise ClipError(self.path, f'truncated: {count} could be decoded, {missing_end}; {_AGAIN}')
        if decoded == 0:
            raise ClipError(self.path, f'damaged: no frame could be decoded; {_AGAIN}')
        if damaged:
            what = f'damaged or truncated: {count} could be decoded, {damaged} with errors'
            raise ClipError(self.path, f'{what}; {_AGAIN}')
        needed = declared - (_AVI_SLACK if container.format.name == 'avi' else 0)
        if decoded < needed and self._count_stored(stream.index) < needed:
            raise ClipError(self.path, f'truncated: {count} could be decoded; {_AGAIN}')

    def _count_stored(self, stream: int) -> int:
        """Frames in the file, including those that an MP4 edit list (a trimmed clip) hides, and repeats in an AVI."""
        with self._open(ignore_editlist='1') as container:
            packets = (packet for packet in container.demux(video=0) if not packet.is_corrupt)
            stored = sum(packet.size > 0 or packet.dts is not None for packet in packets)  # the last one ends decoding
        return stored + count_repeats(self.path, stream)


def _demux(container: 'av.container.InputContainer', stream: 'av.VideoStream') -> Iterator['av.Packet | None']:
    """Packets up to the end; None in place of the first that cannot be read."""
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError:
        yield None
