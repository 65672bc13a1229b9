"""How the frames of videos are stored."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from uscl.clips.frame_sampling import MIN_FRAMES
from uscl.clips.media_suffixes import stack_suffix
from uscl.clips.readers import is_kept_whole, open_clip

if TYPE_CHECKING:
    from uscl.clips.clip import Clip

ColorMode = Literal['auto', 'gray', 'color']


@dataclass(frozen=True)
class StoreSettings:
    """What the stored frames depend on, besides the source.

    Attributes:
        fps: Frames to keep per second of a clip, None for all; images and folders of images are kept whole.
        size: Largest shorter side in pixels.
        color: 'gray', 'color', or 'auto': gray if every frame of the video is.
        mask_tolerance: Blank pixels that never change by more grey levels than this; None blanks nothing.
        min_frames: Fewest frames to keep of a short clip, see :func:`uscl.clips.open_clip`.
        third_axis_time: Take the third axis of stacks for time, see :func:`uscl.clips.open_clip`.

    Raises:
        ValueError: A number is out of range, or ``color`` is another word.
    """

    fps: float | None = 3.0
    size: int = 256
    color: ColorMode = 'auto'
    mask_tolerance: int | None = None
    min_frames: int = MIN_FRAMES
    third_axis_time: bool = False

    def __post_init__(self) -> None:
        rates = (self.fps is None or self.fps > 0) and (self.mask_tolerance is None or self.mask_tolerance >= 0)
        if not rates or min(self.size, self.min_frames) < 1 or self.color not in get_args(ColorMode):
            raise ValueError(f'{self} has a value out of range: see its documentation.')

    def of(self, source: Path) -> dict[str, Any]:
        """The settings that apply to a source, as plain values."""
        unused: dict[str, Any] = {'fps': None, 'min_frames': None} if is_kept_whole(source) else {}
        return asdict(self) | unused | ({} if stack_suffix(source) else {'third_axis_time': False})

    def open(self, source: Path, every_frame: bool = False) -> 'Clip':
        """The clip with the frames to store, or with every frame; see :func:`uscl.clips.open_clip`."""
        fps, at_least = (None, 1) if every_frame else (self.fps, self.min_frames)
        return open_clip(source, fps, at_least, self.third_axis_time)
