"""How much a clip may claim to hold: what is above is refused before it fills the memory."""

# Pixels of a frame, enough for 8K video: a few hundred bytes may claim to be billions, which would fill the memory.
LARGEST_FRAME = 1 << 25
# Frames given by one iteration: an hour at 25 a second, nine hours at the 3 that converters keep.
MOST_FRAMES = 100_000
# Bytes of frames that are held at once: half of what a common machine has.
MOST_BYTES = 1 << 32


def check_size(width: int, height: int) -> None:
    """Refuse frames that would fill the memory, before they are decoded.

    Raises:
        ValueError: It has more than :data:`LARGEST_FRAME` pixels.
    """
    if width * height > LARGEST_FRAME:
        raise ValueError(f'it claims {width} x {height} pixels, more than the {LARGEST_FRAME} that are read')
