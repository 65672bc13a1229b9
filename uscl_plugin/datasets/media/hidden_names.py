"""Keep names of files and folders out of messages."""

from pathlib import Path


def hide_names(text: str, path: Path) -> str:
    """Replace the path of a video, and the names of the files in it, if it is a folder, by plain words.

    >>> hide_names('frames/doe.mp4 cannot be read', Path('frames/doe.mp4'))
    'the file cannot be read'
    """
    names = {file.name for file in path.iterdir()} if path.is_dir() else set()
    for name in sorted([str(path), str(path.absolute()), path.name, path.stem, *names], key=len, reverse=True):
        text = text.replace(name, 'a file' if name in names else 'the file')
    return text
