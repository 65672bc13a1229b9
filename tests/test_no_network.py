"""Nothing is downloaded without being asked, and the tests would notice."""

import os
import re
import subprocess
import sys
import urllib.request

import pytest
from lesion_folders import save, scan

# In every process that Python starts; sockets between the processes of one machine have a path as address.
AUDIT = """
import os, socket, sys
def audit(event, arguments):
    if event == 'socket.__new__' and arguments[1] not in (socket.AF_UNIX, -1) or event == 'socket.getaddrinfo':
        with open(os.environ['SOCKETS'], 'a') as file:
            file.write(f'{event} {arguments[1:]}\\n')
sys.addaudithook(audit)
"""
IMPORTS = 'import uscl.cli, uscl_plugin'
CONVERT = 'convert clips src --out data --workers 2 --size 32'
TRAIN = [
    'pretrain data --out run --size 32 --epochs 2 --workers 1 --val-fraction 0',
    'evaluate random ours=run/backbone.pth --data data --folds 2 --size 32 --val-fraction 0.4 --allow-leak --out out',
    'predict out/cells/ours/seed0/fold0/model.pth src/a/0',
]


def test_tests_notice_whoever_asks_the_network():
    with pytest.raises(AssertionError, match='something asked the network'):
        urllib.request.urlopen('http://192.0.2.1/weights.pth', timeout=1)  # an address reserved for documentation


def test_no_config_names_an_address(root):
    for path in root.glob('configs/**/*.py'):
        code = re.sub(r'#.*', '', path.read_text())
        assert not re.search(r'https?://|torchvision://|open-mmlab://|mmcls://', code), path


@pytest.fixture
def uscl(root, tmp_path):
    """A function that runs code in a process of its own, and returns the sockets that were opened."""
    (tmp_path / 'hook').mkdir()
    (tmp_path / 'hook' / 'sitecustomize.py').write_text(AUDIT)
    environment = os.environ | {
        'PYTHONPATH': os.pathsep.join([str(tmp_path / 'hook'), str(root)]),
        'SOCKETS': str(tmp_path / 'sockets'),
    }
    for number in range(8):
        for frame in range(3):
            save(tmp_path / 'src' / 'ab'[number % 2] / str(number) / f'{frame}.png', scan(3 * number + frame, (48, 48)))

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return (tmp_path / 'sockets').read_text() if (tmp_path / 'sockets').exists() else ''

    return run


def test_the_audit_would_notice(uscl):
    assert 'getaddrinfo' in uscl('-c', "import socket; socket.getaddrinfo('localhost', 80)")
    assert 'socket.__new__' in uscl('-c', 'import socket; socket.socket()')


def test_importing_and_converting_open_no_socket(uscl):
    assert uscl('-c', IMPORTS) == ''
    assert uscl('-m', 'uscl', *CONVERT.split()) == ''


@pytest.mark.slow
def test_training_judging_and_predicting_open_no_socket(uscl):
    for command in [CONVERT, *TRAIN]:
        assert uscl('-m', 'uscl', *command.split()) == '', command
