"""Names of single frames, for predictions, messages and figures."""


def frame_id(video_id: str, position: int) -> str:
    """The name of a frame.

    >>> frame_id('covid/a.mp4', 7)
    'covid/a.mp4#000007'
    """
    return f'{video_id}#{position:06d}'


def split_frame_id(name: str) -> tuple[str, int]:
    """Split a name made by :func:`frame_id` into video and position.

    >>> split_frame_id('covid/a#1.mp4#000007')
    ('covid/a#1.mp4', 7)
    """
    video_id, _, position = name.rpartition('#')
    return video_id, int(position)
