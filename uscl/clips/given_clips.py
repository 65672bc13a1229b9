"""The clips that somebody gives to a command: files, folders of frames, and folders of both."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from uscl.core.errors import ClipError
from uscl.core.escaping import for_terminal

from .discovery import find_sources, walk_sources
from .ignored_file import IgnoredFile
from .source_findings import SourceFindings
from .source_index import find_index
from .video_source import VideoSource

T = TypeVar('T')
_NAMED = 10  # ignored files in a sentence


def find_given(paths: Sequence[str | Path], stills: bool = False) -> SourceFindings:
    """Find the clips among files and folders.

    A folder gives the clips that :func:`~uscl.clips.discovery.find_sources` finds in it, those of its index.csv alone
    if it has one; images that lie directly in a folder are the frames of one clip. Anything else is a clip, whether it
    can be read or not.

    Args:
        paths: Files and folders.
        stills: Every image is a clip of one frame.

    Returns:
        The clips in the order given. An id is the path in the folder given, or the name of the file. A folder without
        clips is one with a ``problem``. Ignored files have their whole paths.

    Raises:
        SourceError: The index of a folder is wrong, or two clips in it would have one id.
    """
    sources: list[VideoSource] = []
    ignored: list[IgnoredFile] = []
    for path in map(Path, paths):
        if not path.is_dir():
            sources.append(VideoSource(path.name, path))
            continue
        index = find_index(path)
        found = walk_sources(path, stills=stills) if index is None else find_sources(path, index, stills=stills)
        problem = 'no clip and no image was found in it: give a clip, or a folder that holds some'
        sources += found.sources or [VideoSource(path.name, path, problem=problem)]
        ignored += [replace(file, path=str(path / file.path)) for file in found.ignored]
    return SourceFindings(sources, ignored)


def use_given(
    paths: Sequence[str | Path], use: Callable[[VideoSource], T], tell: Callable[[str], None], stills: bool = False
) -> Iterator[T]:
    """Do something with every clip that is given, and say which could not be used and which files were not read.

    Args:
        paths: See :func:`find_given`.
        use: What to do with a clip.
        tell: Called with one sentence at a time.
        stills: See :func:`find_given`.

    Yields:
        What ``use`` returns; nothing for a clip that raises a :class:`~uscl.core.errors.ClipError`.
    """
    given = find_given(paths, stills)
    if given.ignored:
        names = [file.path for file in given.ignored]
        more = f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''
        tell(for_terminal(f'{given.describe_ignored()}: {", ".join(names[:_NAMED])}{more}'))
    for source in given.sources:
        try:
            if source.problem:
                raise ClipError(source.path, source.problem)
            yield use(source)
        except ClipError as error:
            tell(f'skipped: {for_terminal(str(error))}')
