"""Splits that others have published for POCUS, as lists of file names."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from uscl.clips.video_source import VideoSource
from uscl.core.errors import SourceError

_SPLITS = ('train', 'val', 'test')


def read_split_files(given: Sequence[str]) -> dict[str, str]:
    """Read which file belongs to which split.

    Args:
        given: ``SPLIT=FILE`` each, with SPLIT one of train, val and test. FILE is a JSON list, as UltraBench's
            (github.com/adamtupper/ultrabench), whose entries name a file as ``source``, or text with a file name per
            line. A name may come several times, once for each frame.

    Returns:
        File name, in lower case and without folder → split.

    Raises:
        SourceError: Another form, a file that cannot be read or names no file, or a name in two splits.
    """
    splits: dict[str, str] = {}
    for entry in given:
        split, _, path = entry.partition('=')
        if split not in _SPLITS or not path:
            raise SourceError(f'--split-file {entry}: write train=FILE, val=FILE or test=FILE.')
        for name in _names(Path(path)):
            key = PurePosixPath(name).name.casefold()
            if splits.setdefault(key, split) != split:
                what = f'{path} puts {name} in {split}, another file in {splits[key]}'
                raise SourceError(f'{what}: frames of a clip cannot be divided; correct one of the files.')
    return splits


def assign_splits(sources: Sequence[VideoSource], splits: dict[str, str]) -> list[VideoSource]:
    """The videos with the split of their file name; one without split gets a problem.

    Raises:
        SourceError: No video has a split.
    """
    found = []
    for source in sources:
        split = splits.get(PurePosixPath(source.video_id).name.casefold())
        problem = source.problem or (None if split else 'it is in no split file: add its name to one to use it')
        found.append(replace(source, split=split, problem=problem, label=None if problem else source.label))
    if not any(source.split for source in found):
        raise SourceError('the split files name none of the clips: give files that list the clips of this source.')
    return found


def _names(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding='utf-8-sig')
    except FileNotFoundError:
        raise SourceError(f'{path} does not exist: give the file of a split.') from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f'{path} cannot be read ({error}): give a text or JSON file.', exit_code=1) from error
    if path.suffix.lower() != '.json':
        names = [line.strip() for line in text.splitlines()]
    else:
        try:
            names = [entry['source'] for entry in json.loads(text)]
        except (ValueError, TypeError, KeyError) as error:
            raise SourceError(f'{path} is not a JSON list of entries with a source: download it again.') from error
        if not all(isinstance(name, str) for name in names):
            raise SourceError(f'{path} has a source that is not a name: download it again.')
    if not (names := [name for name in names if name]):
        raise SourceError(f'{path} names no file: download it again.')
    return names
