import hashlib

import pytest

from uscl.core.digest import digest, file_digest


def test_known_value():
    assert digest('abc') == 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'  # of FIPS 180-2


def test_parts_follow_each_other():
    assert digest('ä', b'\0', 'z') == digest('ä\0z') == hashlib.sha256('ä\0z'.encode()).hexdigest()


@pytest.mark.parametrize('size', [0, 1, 1 << 20, (1 << 20) + 1])
def test_a_file_has_the_digest_of_its_bytes(tmp_path, size):
    (tmp_path / 'a').write_bytes(bytes(i % 251 for i in range(size)))
    assert file_digest(tmp_path / 'a') == digest((tmp_path / 'a').read_bytes())
