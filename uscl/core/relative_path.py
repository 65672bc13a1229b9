"""Paths that stay inside their folder."""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from .escaping import is_printable


def is_inside(path: str) -> bool:
    r"""Whether a relative path stays inside its base folder on every system, judged by its text only.

    >>> [is_inside(p) for p in ('a/b.png', 'a..b/c', '../b.png', '/b.png', 'a/../../b', 'C:/b.png', '', 'a\n.png')]
    [True, True, False, False, False, False, False, False]
    """
    path = path.replace('\\', '/')
    parts = PurePosixPath(path).parts
    if not is_printable(path) or not parts or path.startswith('/') or PureWindowsPath(path).drive:
        return False
    return all(part.rstrip('. ') for part in parts)  # Windows drops these at the end: '.. ' is '..'


def leads_out(path: str | Path, folder: str | Path) -> bool:
    """Whether links take a path out of a folder, which may be a link itself."""
    return not real_path(path).is_relative_to(real_path(folder))


def real_path(path: str | Path) -> Path:
    """The path without symbolic links; unlike ``Path.resolve``, it does not fail on a link to itself."""
    return Path(os.path.realpath(path))
