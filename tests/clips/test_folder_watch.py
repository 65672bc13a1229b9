"""A watched folder: each file once, whatever happens in between."""

import json
import os
import random
from pathlib import Path

import pytest

import uscl.clips.folder_watch as module
from uscl.clips.folder_watch import PATIENCE, FolderWatch
from uscl.core.atomic_files import write_atomically
from uscl.core.digest import digest
from uscl.core.errors import ClipError

SETTLE = 10.0


class Killed(BaseException):
    pass


@pytest.fixture
def folders(tmp_path):
    source, out = tmp_path / 'in', tmp_path / 'out'
    source.mkdir()
    out.mkdir()
    return source, out


@pytest.fixture
def said():
    return []


@pytest.fixture
def start(folders, said):
    """Watch with a stub: a file is whole if it ends with ``end``, and its result bears the digest of its content."""
    source, out = folders

    def use(path):
        content = path.read_bytes()
        if not content.endswith(b'end'):
            raise ClipError(path, 'truncated: copy it again')

        def save():
            target = out / f'{digest(content)}.dcm'
            if not target.exists():
                write_atomically(target, lambda temporary: temporary.write_bytes(content))
            return target

        return save

    return lambda use=use, identity='model': FolderWatch(source, out, use, said.append, SETTLE, identity)


def results(out):
    return sorted(path.read_bytes() for path in out.glob('*.dcm'))


def test_a_file_is_used_once_it_stands_still(folders, start):
    source, out = folders
    watch = start()
    file = source / 'study' / 'a'
    file.parent.mkdir()
    for second in range(0, 60, 4):  # it grows for a minute, and could be read all the time
        with file.open('ab') as stream:
            stream.write(b'end')
        assert watch.look(second) == 1 and results(out) == []
    assert watch.look(56 + SETTLE - 1) == 1 and results(out) == []
    assert watch.look(56 + SETTLE) == 0
    assert results(out) == [b'end' * 15]
    assert watch.look(1000) == 0 and watch.counts == {'written': 1}


def test_half_a_file_waits_and_becomes_whole_or_is_moved_aside(folders, start, said):
    source, out = folders
    watch = start()
    (source / 'late').write_bytes(b'half')
    (source / 'sub').mkdir()
    (source / 'sub' / 'lost\x1b').write_bytes(b'half, for ever')
    (source / 'good').write_bytes(b'end')
    watch.look(0)
    assert watch.look(SETTLE) == 2 and results(out) == [b'end'] and not (out / 'rejected').exists()
    with (source / 'late').open('ab') as stream:
        stream.write(b' and end')
    assert watch.look(SETTLE + 1) == 2
    assert watch.look(2 * SETTLE + 1) == 1 and results(out) == [b'end', b'half and end']
    assert watch.look(PATIENCE * SETTLE - 1) == 1
    assert watch.look(PATIENCE * SETTLE) == 0
    moved = out / 'rejected' / 'sub' / 'lost\x1b'
    assert moved.read_bytes() == b'half, for ever' and not (source / 'sub' / 'lost\x1b').exists()
    reason = moved.with_name(f'{moved.name}.reason.txt').read_text()
    assert 'truncated' in reason and 'lost' in reason and '\x1b' not in reason
    assert any('lost' in text and 'truncated' in text for text in said)
    assert watch.counts == {'written': 2, 'rejected': 1}
    # Another file of the name is another file, and the first is kept.
    (source / 'sub' / 'lost\x1b').write_bytes(b'bad again')
    watch.look(100)
    assert watch.look(100 + PATIENCE * SETTLE) == 0
    assert sorted(path.read_bytes() for path in moved.parent.glob('lost*') if path.suffix != '.txt') == [
        b'bad again',
        b'half, for ever',
    ]


def test_a_restart_does_nothing_twice(folders, start):
    source, out = folders
    for name in 'abc':
        (source / name).write_bytes(name.encode() + b'end')
    watch = start()
    watch.look(0)
    watch.look(SETTLE)
    assert len(results(out)) == 3
    for path in out.glob('*.dcm'):  # another program took them away
        path.unlink()
    (source / 'again').write_bytes(b'aend')  # the bytes of the first
    os.utime(source / 'b', (1, 1))  # copied anew
    watch = start()
    watch.look(0)
    assert watch.look(SETTLE) == 0
    assert results(out) == [] and watch.counts == {'copy': 2}
    assert start().look(99) == 0
    (source / 'b').write_bytes(b'other end')  # another file in its place
    watch = start()
    watch.look(0)
    watch.look(SETTLE)
    assert results(out) == [b'other end']


def test_what_is_no_file_of_the_source_is_left_alone(folders, start, tmp_path):
    source, out = folders
    (tmp_path / 'outside').write_bytes(b'end')
    (source / 'link').symlink_to(tmp_path / 'outside')
    os.mkfifo(source / 'pipe')
    for name in ('.hidden', 'a.part', 'Thumbs.db'):
        (source / name).write_bytes(b'end')
    watch = start()
    assert watch.look(0) == 0 and watch.look(999) == 0 and results(out) == []
    (source / 'a.part').rename(source / 'a')
    assert watch.look(1000) == 1 and watch.look(1000 + SETTLE) == 0 and results(out) == [b'end']


def test_a_file_that_changes_or_goes_while_it_is_read(folders, start):
    source, out = folders
    (source / 'a').write_bytes(b'end')
    (source / 'b').write_bytes(b'end of b')

    def use(path):
        if path.name == 'a':
            path.write_bytes(b'longer end')
        else:
            path.unlink()
        return lambda: pytest.fail('saved')

    watch = start(use)
    watch.look(0)
    watch.look(SETTLE)
    assert watch.counts == {} and not (out / 'rejected').exists()
    assert watch.look(SETTLE + 1) == 1


def test_a_full_disk_stops_and_loses_nothing(folders, start):
    source, out = folders
    (source / 'a').write_bytes(b'end')

    def full():
        raise OSError(28, 'No space left on device', 'x')

    watch = start(lambda path: full)
    watch.look(0)
    with pytest.raises(OSError, match='No space'):
        watch.look(SETTLE)
    assert (source / 'a').exists() and not (out / 'rejected').exists()
    watch = start()
    watch.look(0)
    watch.look(SETTLE)
    assert results(out) == [b'end']


def test_a_folder_that_is_away_for_a_while(folders, start, said):
    source, out = folders
    watch = start()
    (source / 'a').write_bytes(b'end')
    watch.look(0)
    source.rename(source.with_name('away'))
    assert watch.look(1) == 1 and watch.look(2) == 1
    assert len(said) == 1 and str(source) in said[0]
    source.with_name('away').rename(source)
    assert watch.look(SETTLE) == 0 and results(out) == [b'end']


def test_bad_folders(folders, start, tmp_path):
    source, out = folders
    (out / 'x').mkdir()
    for inner, outer in ((source, source / 'x'), (out / 'x', out), (out, out)):
        with pytest.raises(ValueError, match='in each other'):
            FolderWatch(inner, outer, lambda path: pytest.fail(), print, SETTLE, 'model')
    with pytest.raises(ValueError, match=r'none is no folder'):
        FolderWatch(tmp_path / 'none', out, lambda path: pytest.fail(), print, SETTLE, 'model')
    start()
    start()
    with pytest.raises(ValueError, match=r'out has the results of another model'):
        start(identity='other')


def test_to_another_file_system(folders, start, monkeypatch):
    source, out = folders
    (source / 'a').write_bytes(b'bad')

    rename = Path.rename

    def replace(path, target):
        if path.parent == source:
            raise OSError(18, 'Invalid cross-device link', str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, 'replace', replace)
    watch = start()
    watch.look(0)
    watch.look(PATIENCE * SETTLE)
    assert (out / 'rejected' / 'a').read_bytes() == b'bad' and not (source / 'a').exists()


@pytest.mark.parametrize(
    ('files', 'seconds', 'pause'), [(150, 2000, 20), pytest.param(2000, 8 * 3600, 240, marks=pytest.mark.slow)]
)
def test_hours_of_files_and_kills(folders, start, monkeypatch, files, seconds, pause):
    """Eight hours, or a part of them.

    Files come whole, in pieces or cut short; the process is killed between and in the steps of finishing one.
    """
    source, out = folders
    chance = random.Random(0)
    monkeypatch.setattr('uscl.core.journal.os.fsync', lambda descriptor: None)
    monkeypatch.setattr('uscl.core.atomic_files.os.fsync', lambda descriptor: None)
    arrivals = {}  # second → what is written then
    good, bad = set(), set()
    for number in range(files):
        kind, second = chance.choices(('whole', 'pieces', 'cut'), (80, 15, 5))[0], chance.randrange(seconds - 200)
        body = f'{number} '.encode()
        (bad if kind == 'cut' else good).add(body if kind == 'cut' else body + b'end')
        pieces = {'whole': [body + b'end'], 'pieces': [body, b'end'], 'cut': [body]}[kind]
        for k, piece in enumerate(pieces):
            # The second piece is late, but not so late that the first is given up.
            arrivals.setdefault(second + k * chance.randrange(1, 55), []).append((f'{number % 7}/{number}', piece))
    kills, is_due = 0, False

    def deadly(place, original):
        """Kill before or after an operation, or in the middle of the line of a journal."""

        def run(*args, **kwargs):
            nonlocal kills, is_due
            if not is_due or chance.random() < 0.7:
                return original(*args, **kwargs)
            is_due, kills = False, kills + 1
            how = chance.choice(('before', 'after', 'torn'))
            if how == 'after':
                original(*args, **kwargs)
            if how == 'torn' and place == 'journal':
                with args[0].path.open('ab') as file:
                    file.write(json.dumps(args[1]).encode()[: chance.randrange(1, 20)])
            raise Killed

        return run

    monkeypatch.setattr(module.Journal, 'add', deadly('journal', module.Journal.add))
    monkeypatch.setattr(module, '_move', deadly('move', module._move))
    monkeypatch.setattr(module, 'write_text', deadly('reason', module.write_text))
    for number in range(7):
        (source / str(number)).mkdir()
    watch = start()
    for second in range(seconds + 300):
        for name, piece in arrivals.get(second, ()):
            with (source / name).open('ab') as file:
                file.write(piece)
        if second % pause:
            continue
        is_due = is_due or chance.random() < 0.3
        try:
            watch.look(second)
        except Killed:
            watch = None
        while watch is None:
            try:
                watch = start()
            except Killed:
                continue
    assert watch.look(seconds + 400) == 0
    assert results(out) == sorted(good)
    rejected = [path for path in (out / 'rejected').rglob('*') if path.is_file()]
    kept = [path for path in rejected if not path.name.endswith('.reason.txt')]
    assert sorted(path.read_bytes() for path in kept) == sorted(bad)
    assert {path.with_name(f'{path.name}.reason.txt') for path in kept} == set(rejected) - set(kept)
    assert {path.read_bytes() for path in source.rglob('*') if path.is_file()} == good
    noted = [json.loads(line) for line in (out / 'journal.jsonl').read_bytes().splitlines()]
    written = [each['file'] for each in noted if each.get('outcome') == 'written']
    assert len(written) == len(set(written)) == len(good) and kills > 4
    print(f'{len(good)} written, {len(bad)} moved aside, {kills} kills')
