"""How much a clip may claim to hold; more is refused before it fills the memory."""

LARGEST_FRAME = 1 << 25  # pixels, enough for 8K video; a file of a few hundred bytes may claim billions
MOST_FRAMES = 100_000  # of one iteration: an hour at 25 a second, nine hours at the 3 that converters keep
MOST_BYTES = 1 << 32  # of frames held at once: half of what a common machine has


class LargeFrameError(ValueError):
    """A frame has more than :data:`LARGEST_FRAME` pixels."""


def check_size(width: int, height: int) -> None:
    """Refuse frames that would fill the memory, before they are decoded.

    Raises:
        LargeFrameError: The frame has more than :data:`LARGEST_FRAME` pixels.
    """
    if width * height > LARGEST_FRAME:
        raise LargeFrameError(f'wrong size: {width} x {height} pixels, more than {LARGEST_FRAME}')
