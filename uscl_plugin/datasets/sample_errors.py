"""Errors of a sample say which video they are about."""

from pathlib import Path


def name_video(error: Exception, video_id: str, source: Path) -> None:
    """Add to an error which video was read from where, and leave its type as it is.

    Args:
        error: It is changed.
        video_id: The video.
        source: The file or folder that its frames are in.
    """
    note = f'while video {video_id!r} was prepared from {source}'
    if hasattr(error, 'add_note'):
        error.add_note(note)
    else:
        _extend_message(error, note)


def _extend_message(error: Exception, note: str) -> None:
    """What notes are for, before Python 3.11."""
    if isinstance(error, OSError) and error.strerror:  # its text is not made of `args`
        error.strerror = f'{error.strerror} ({note})'
    else:
        error.args = (f'{error.args[0]} ({note})' if error.args else note, *error.args[1:])
