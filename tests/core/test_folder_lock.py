"""One process at a time in an output folder: refusals, what killed processes leave, folders without locks."""

import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from uscl.core.errors import FolderInUseError
from uscl.core.folder_lock import LOCK, lock_folder

HOLD = """
import sys, time
from uscl.core.folder_lock import lock_folder
with lock_folder(sys.argv[1], 'converting'):
    print('ready', flush=True)
    time.sleep(100)
"""


@pytest.fixture
def holder(tmp_path, root):
    """Another process that holds the lock of tmp_path/out."""
    environment = os.environ | {'PYTHONPATH': str(root)}
    command = [sys.executable, '-c', HOLD, str(tmp_path / 'out')]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'ready\n'
    yield process
    process.kill()
    process.wait()


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_second_process_is_refused_in_one_sentence(holder, tmp_path):
    began = time.monotonic()
    with pytest.raises(FolderInUseError) as error, lock_folder(tmp_path / 'out', 'converting'):
        raise AssertionError
    assert time.monotonic() - began < 2
    found = re.fullmatch(
        rf'{re.escape(str(tmp_path))}/out .* process {holder.pid} on {re.escape(socket.gethostname())}, '
        r'converting since (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d): .*',
        str(error.value),
    )
    assert found and abs(time.time() - time.mktime(time.strptime(found[1], '%Y-%m-%d %H:%M:%S'))) < 60
    assert names(tmp_path / 'out') == [LOCK]


def test_other_folders_are_free(holder, tmp_path):
    with lock_folder(tmp_path / 'out' / 'below', 'training'), lock_folder(tmp_path, 'training'):
        assert LOCK in names(tmp_path)


def test_a_killed_process_keeps_nobody_out(holder, tmp_path, capsys):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert names(tmp_path / 'out') == [LOCK]
    with lock_folder(tmp_path / 'out', 'training'):
        assert f'process {os.getpid()} on ' in (tmp_path / 'out' / LOCK).read_text()
    assert names(tmp_path / 'out') == [] and capsys.readouterr() == ('', '')


def test_it_is_free_after_an_error_and_nothing_stays(tmp_path):
    (tmp_path / 'out').mkdir()
    for _ in range(2):
        with pytest.raises(KeyError), lock_folder(tmp_path / 'out', 'converting'):
            raise KeyError
    assert names(tmp_path / 'out') == []
    with lock_folder(tmp_path / 'new', 'converting'):
        pass
    assert not (tmp_path / 'new').exists()


def test_two_at_once_in_one_process(tmp_path):
    with lock_folder(tmp_path, 'converting'):
        with pytest.raises(FolderInUseError, match=f'process {os.getpid()} '), lock_folder(tmp_path, 'converting'):
            raise AssertionError
        assert names(tmp_path) == [LOCK]


FORK = """
import os, sys
from uscl.core.errors import FolderInUseError
from uscl.core.folder_lock import lock_folder
with lock_folder(sys.argv[1], 'converting'):
    child = os.fork()
    if child == 0:
        sys.exit()  # leaves the block
    os.waitpid(child, 0)
    print(os.listdir(sys.argv[1]))
    try:
        with lock_folder(sys.argv[1], 'converting'):
            print('free')
    except FolderInUseError:
        print('taken')
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='uses fork')
def test_a_fork_that_ends_leaves_it_locked(tmp_path, root):
    environment = os.environ | {'PYTHONPATH': str(root)}
    done = subprocess.run([sys.executable, '-c', FORK, tmp_path], env=environment, capture_output=True, text=True)
    assert done.stdout == f"['{LOCK}']\ntaken\n", done.stderr


CONTEND = """
import os, sys, time
from uscl.core.errors import FolderInUseError
from uscl.core.folder_lock import lock_folder
entered = 0
while entered < 30:
    try:
        with lock_folder(sys.argv[1], 'converting'):
            os.close(os.open(sys.argv[1] + '/inside', os.O_CREAT | os.O_EXCL))
            time.sleep(0.001)
            os.unlink(sys.argv[1] + '/inside')
            entered += 1
    except FolderInUseError:
        pass
    time.sleep(0.001)
"""


def test_never_two_inside(tmp_path, root):
    """Also where the file of the lock is removed while others are about to lock it."""
    command = [sys.executable, '-c', CONTEND, str(tmp_path)]
    environment = os.environ | {'PYTHONPATH': str(root)}
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    results = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]
    assert results == [('', 0)] * 4
    assert names(tmp_path) == []


@pytest.mark.parametrize('number', [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EIO])
def test_where_the_file_system_has_no_locks_a_warning_is_all(number, tmp_path, monkeypatch, capsys):
    def flock(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, 'flock', flock)
    warnings = []
    for _ in range(2):
        with lock_folder(tmp_path, 'training', warnings.append):
            (tmp_path / 'result').touch()
    assert len(warnings) == 2
    assert all(text.startswith(f'{tmp_path} cannot be locked ({os.strerror(number)}): ') for text in warnings)
    assert set(names(tmp_path)) <= {'result', LOCK}
    with lock_folder(tmp_path, 'training'):
        pass
    assert capsys.readouterr().err == f'warning: {warnings[0]}\n'


@pytest.mark.parametrize('kind', ['link', 'dangling', 'folder'])
def test_without_a_lock_where_something_else_is_in_its_place(tmp_path, kind):
    out, mine = tmp_path / 'out', tmp_path / 'mine'
    out.mkdir()
    if kind == 'folder':
        (out / LOCK).mkdir()
    else:
        (out / LOCK).symlink_to(mine)
    if kind == 'link':
        mine.write_text('mine')
    with pytest.raises(FolderInUseError, match=re.escape(f'{out / LOCK} is a ')), lock_folder(out, 'training'):
        raise AssertionError
    assert mine.exists() == (kind == 'link') and (kind != 'link' or mine.read_text() == 'mine')
    assert names(out) == [LOCK]


@pytest.mark.parametrize('text', ['process 1 on another-host, training since 2020-01-01 00:00:00\n', '', '\0' * 9])
def test_a_file_that_nobody_holds_keeps_nobody_out(tmp_path, text):
    (tmp_path / LOCK).write_text(text)
    with lock_folder(tmp_path, 'training'):
        assert f'process {os.getpid()} on ' in (tmp_path / LOCK).read_text()


@pytest.mark.parametrize('number', [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_folder_that_cannot_be_written_is_said_to_be_so(tmp_path, monkeypatch, number):
    opened = os.open

    def refuse(path, *args, **kwargs):
        if str(path).endswith(LOCK):
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(os, 'open', refuse)
    message = f'{os.strerror(number)}: check its rights.*{tmp_path}'
    with pytest.raises(OSError, match=message) as caught, lock_folder(tmp_path, 'training'):
        raise AssertionError
    assert caught.value.errno == number and 'space' not in str(caught.value)


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / 'file').touch()
    with pytest.raises(NotADirectoryError, match='file/out'), lock_folder(tmp_path / 'file' / 'out', 'converting'):
        raise AssertionError
    assert capsys.readouterr() == ('', '')
