"""Keep names of files and folders out of messages."""

import re
from contextlib import suppress
from pathlib import Path

_SHORTEST = 3  # characters; shorter names occur in any message by chance


def hide_names(text: str, path: Path) -> str:
    """Replace the path of a video, and the names of files in it if it is a folder, by plain words.

    >>> hide_names('frames/doe.mp4 cannot be read', Path('frames/doe.mp4'))
    'the file cannot be read'
    """
    names: set[str] = set()
    with suppress(OSError):  # a folder that may not be read
        names = {file.name for file in path.iterdir()} if path.is_dir() else set()
    for whole in sorted((str(path), str(path.absolute())), key=len, reverse=True):
        text = text.replace(whole, 'the file')
    stem = {path.stem} if len(path.stem) >= _SHORTEST and not path.stem.isdigit() else set()
    for name in sorted({path.name} | stem | names, key=len, reverse=True):
        text = re.sub(rf'(?<!\w){re.escape(name)}(?!\w)', 'a file' if name in names else 'the file', text)
    return text
