"""List the files of a source folder."""

from collections.abc import Iterator
from pathlib import Path

from uscl.core.errors import SourceError
from uscl.core.relative_path import real_path

from .ignored_file import is_hidden

LEAVES_SOURCE = 'a symbolic link out of the source: add --follow-links, or copy its target'
LEADS_BACK = 'link to a folder that is read anyway'


def walk_files(
    root: Path, out: str | Path | None = None, follow_links: bool = False
) -> Iterator[tuple[Path, str | None]]:
    """Every visible file below a folder, and every folder that is not entered.

    Links to files count as files. With ``follow_links``, a link to a folder is entered unless it leads into a folder
    that is already read, or to one above the source, so loops of links end.

    Args:
        root: The source folder.
        out: A folder to leave out.
        follow_links: Follow symbolic links out of the source.

    Yields:
        Path, and why it is not read (:data:`LEAVES_SOURCE`, :data:`LEADS_BACK` or another reason) or None.

    Raises:
        SourceError: ``root`` cannot be opened.
    """
    left_out = None if out is None else real_path(out)
    entered = [real_path(root)]
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            paths = [(path, path.is_dir()) for path in sorted(folder.iterdir())]
        except OSError as error:
            problem = f'the folder cannot be opened ({error.strerror}): check its rights'
            if folder == root:
                raise SourceError(f'{root}: {problem}.') from error
            yield folder, problem
            continue
        for path, is_folder in paths:
            if is_hidden(path) or (is_folder and real_path(path) == left_out):
                continue
            fault: str | None = None
            if path.is_symlink():
                target = real_path(path)
                if not follow_links and not target.is_relative_to(entered[0]):
                    fault = LEAVES_SOURCE
                elif is_folder:
                    is_loop = any(target.is_relative_to(known) for known in entered)
                    if is_loop or entered[0].is_relative_to(target):
                        fault = LEADS_BACK
                    else:
                        entered.append(target)
            if is_folder and fault is None:
                waiting.append(path)
            else:
                yield path, fault
