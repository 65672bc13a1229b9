"""Add the video to errors raised for a sample."""

from pathlib import Path


def name_video(error: Exception, video_id: str, source: Path) -> None:
    """Add to an error which video was read and from where, keeping its type.

    Args:
        error: The error; modified in place.
        video_id: The video.
        source: The file or folder of its frames.
    """
    note = f'while video {video_id!r} was prepared from {source}'
    if hasattr(error, 'add_note'):
        error.add_note(note)
    else:
        _extend_message(error, note)


def _extend_message(error: Exception, note: str) -> None:
    """Replacement for ``add_note``, before Python 3.11."""
    if isinstance(error, OSError) and error.strerror:  # its text does not come from `args`
        error.strerror = f'{error.strerror} ({note})'
    else:
        error.args = (f'{error.args[0]} ({note})' if error.args else note, *error.args[1:])
