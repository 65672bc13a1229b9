"""Use every new file of a folder once, also over restarts, and move those aside that cannot be used."""

import errno
import shutil
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from uscl.core.atomic_files import write_atomically, write_text
from uscl.core.digest import file_digest
from uscl.core.errors import ClipError, SourceError
from uscl.core.escaping import for_terminal
from uscl.core.journal import Journal
from uscl.core.relative_path import real_path

from .folder_walk import walk_files

JOURNAL = 'journal.jsonl'
REJECTED = 'rejected'
PATIENCE = 6  # times the settling time that a file which cannot be read is given to become whole
_UNFINISHED = frozenset({'.part', '.partial', '.filepart', '.crdownload', '.tmp'})  # renamed once they are whole

Save = Callable[[], Path]


@dataclass
class _Waiting:
    """A file that is not done: its size and modification time, since when it has had them, and whether it failed."""

    state: tuple[int, int]
    since: float
    failed: bool = False


class FolderWatch:
    """Uses the files of a folder and its subfolders, each when its size and time have stood still.

    ``OUT/journal.jsonl`` says what became of each file. A result is saved before it is noted, under a name that its
    source decides, so a process that is killed in between saves the same file again: no file is lost or has two
    results. A file with the bytes of an earlier one gets no second result. A file that cannot be used is given six
    times the settling time, as it may still be on its way; then it goes to ``OUT/rejected``, with its reason beside it.
    Hidden files and those with a suffix of unfinished copies, such as ``.part``, are left alone.

    Args:
        source: The folder to watch. Its files are not changed, only moved aside if they cannot be used.
        out: Folder for the journal and what is rejected; exists, and nobody else writes to it.
        use: Gets a file, and returns how to save its result, which returns the file that it wrote. Either may raise a
            :class:`~uscl.core.errors.ClipError` if the file cannot be used.
        tell: Called with one sentence at a time.
        settle: Seconds for which size and time must stand still, above 0.
        identity: What results depend on besides their source, as a digest of the model.

    Attributes:
        counts: How many files were ``written``, a ``copy`` or ``rejected`` since the start of this process.

    Raises:
        ValueError: There is no folder ``source``, one folder lies in the other, or ``out`` was made with another
            ``identity``.
    """

    def __init__(
        self,
        source: Path,
        out: Path,
        use: Callable[[Path], Save],
        tell: Callable[[str], None],
        settle: float,
        identity: str,
    ) -> None:
        if not source.is_dir():
            raise ValueError(f'{source} is no folder: give one to watch.')
        inner, outer = real_path(source), real_path(out)
        if inner.is_relative_to(outer) or outer.is_relative_to(inner):
            raise ValueError(f'{out} and {source} must not lie in each other: choose another output folder.')
        self.counts: Counter[str] = Counter()
        self._source, self._out, self._use, self._tell, self._settle = source, out, use, tell, settle
        self._waiting: dict[str, _Waiting] = {}
        self._is_away = False
        self._journal = Journal(out / JOURNAL)
        first, *records = self._journal.records or [{}]
        if not first:
            self._journal.add({'identity': identity})
        elif first.get('identity') != identity:
            raise ValueError(f'{out} has the results of another model or other settings: choose another folder.')
        done = [each for each in records if each['outcome'] != 'rejected']
        self._done = {each['file']: (each['bytes'], each['mtime_ns']) for each in done}
        self._known = {each['sha256'] for each in done}

    def look(self, now: float, is_stopped: Callable[[], bool] = lambda: False) -> int:
        """Look into the folder once, and use what is ready.

        Args:
            now: Seconds on a clock that never goes back.
            is_stopped: Asked before each file.

        Returns:
            How many files wait.

        Raises:
            OSError: A result cannot be saved, or a file not be moved.
        """
        self._find(now)
        for name, file in list(self._waiting.items()):
            if is_stopped():
                break
            stood = now - file.since
            is_last = stood >= PATIENCE * self._settle
            if stood >= self._settle and (is_last or not file.failed) and self._finish(name, file, is_last):
                del self._waiting[name]
        return len(self._waiting)

    def _find(self, now: float) -> None:
        found = {}
        try:
            for path, fault in walk_files(self._source):
                name = path.relative_to(self._source).as_posix()
                state = None if fault or path.suffix.lower() in _UNFINISHED else _state(path)
                if state is None or self._done.get(name) == state:
                    continue
                before = self._waiting.get(name)
                found[name] = before if before is not None and before.state == state else _Waiting(state, now)
        except SourceError as error:
            if not self._is_away:
                self._tell(f'{error} It is looked for until it is back.')
            self._is_away = True
            return
        self._waiting, self._is_away = found, False

    def _finish(self, name: str, file: _Waiting, is_last: bool) -> bool:
        """Use a file, and note what became of it; whether it is done."""
        path = self._source / name
        try:
            key = _digest(path)
            save = None if key in self._known else self._use(path)
            if _state(path) != file.state:  # it went on growing, or is gone
                return False
            output = None if save is None else save()
        except ClipError as error:
            file.failed = True
            if not is_last or _state(path) != file.state:
                return False
            self._reject(name, file, error.reason)
            return True
        if output is None:
            self._note(name, file, 'copy', sha256=key)
            self._tell(f'{path}: has the bytes of an earlier file, whose result holds')
        else:
            self._note(name, file, 'written', sha256=key, output=output.name)
            self._tell(f'{path}: {output}')
        self._known.add(key)
        self._done[name] = file.state
        return True

    def _reject(self, name: str, file: _Waiting, reason: str) -> None:
        path = target = self._out / REJECTED / name
        number = 1
        while target.exists():
            number += 1
            target = path.with_name(f'{path.stem}-{number}{path.suffix}')
        text = f'{self._source / name}: {reason}\n'.encode('utf-8', 'backslashreplace').decode()
        write_text(target.with_name(f'{target.name}.reason.txt'), for_terminal(text))
        _move(self._source / name, target)
        self._note(name, file, 'rejected', reason=reason)
        self._tell(f'{self._source / name}: moved to {target}: {reason}')

    def _note(self, name: str, file: _Waiting, outcome: str, **facts: str) -> None:
        size, time = file.state
        self._journal.add({'file': name, 'bytes': size, 'mtime_ns': time, 'outcome': outcome, **facts})
        self.counts[outcome] += 1


def _state(path: Path) -> tuple[int, int] | None:
    """Size and modification time; None if there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None  # reading a pipe would wait


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise ClipError(path, f'it cannot be opened ({error.strerror}): check its rights') from error


def _move(path: Path, target: Path) -> None:
    """Move a file, whole or not at all, also to another file system."""
    try:
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        write_atomically(target, lambda temporary: shutil.copyfile(path, temporary))
        path.unlink()
