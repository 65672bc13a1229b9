"""Which frames at the end of a video are held out."""

from .frame_range import frames_in_range

HELD_OUT_FRACTION = 0.25


def split_frames(n: int, held_out_fraction: float = HELD_OUT_FRACTION) -> tuple[range, range]:
    """Divide the frames of a video by time: the first are the gallery, the last are held out as queries.

    The boundary is that of :func:`~uscl.data.frame_range.frames_in_range`: a network trained on ``frame_range=(0, 1 -
    held_out_fraction)`` has not seen the queries. Videos too short for that (2 or 3 frames with the default) still hold
    out their last frame, which such a network has seen.

    Args:
        n: Number of frames in the video, at least 1.
        held_out_fraction: Fraction of the video's length that is held out, in (0, 1).

    Returns:
        Gallery and query indices. From two frames on, neither is empty; a single frame is gallery.

    Raises:
        ValueError: ``n`` is below 1, or ``held_out_fraction`` is not in (0, 1).
    """
    if not 0 < held_out_fraction < 1:
        raise ValueError(f'held_out_fraction should be in (0, 1), got {held_out_fraction!r}.')
    border = frames_in_range(n, (0.0, 1.0 - held_out_fraction)).stop
    border = max(1, min(border, n - 1))
    return range(border), range(border, n)
