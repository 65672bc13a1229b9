"""Relative paths that stay inside their folder."""

from pathlib import PurePosixPath


def is_inside(path: str) -> bool:
    r"""Whether a relative POSIX path stays inside its base folder, judged by its text only.

    >>> [is_inside(p) for p in ('a/b.png', '../b.png', '/b.png', 'a/../../b', 'C:/b.png', '', 'a\0.png')]
    [True, False, False, False, False, False, False]
    """
    parts = PurePosixPath(path.replace('\\', '/')).parts
    if '\0' in path or not parts:  # file names cannot contain null characters
        return False
    return not parts[0].startswith('/') and '..' not in parts and not parts[0].endswith(':')
