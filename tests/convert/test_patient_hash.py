import hashlib
import os
import random
import stat
import string
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from uscl.clips.discovery import find_sources
from uscl.clips.video_source import VideoSource
from uscl.convert.privacy.hidden_names import hide_names
from uscl.convert.privacy.patient_key import key_file, normalised, read_patient_key
from uscl.convert.privacy.patients import find_traces, protect_sources
from uscl.convert.privacy.pseudonyms import SALT_VARIABLE, Pseudonyms, read_salt
from uscl.convert.videos.store_settings import StoreSettings
from uscl.convert.videos.video_conversion import convert_sources
from uscl.core.errors import SourceError
from uscl.data.annotations import read_annotations

SALT = b'0123456789abcdef'
RANDOM = '9f86d081884c7d659a2feaa0c55ad015'


def hmac_sha256(key, message):
    """RFC 2104, written out."""
    key = key.ljust(64, b'\0')
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()


@pytest.mark.parametrize('patient', ['4711', 'Müller', 'a b'])
def test_hash_is_hmac_sha256(patient):
    expected = hmac_sha256(SALT, b'patient\0' + patient.encode())[:16]
    assert Pseudonyms(SALT).patient(patient) == f'p-{expected}'


def test_hash_depends_on_salt_id_and_kind_alone():
    hashes = {Pseudonyms(salt).patient(name) for salt in (SALT, SALT + b'x') for name in ('1', '2', '01')}
    assert len(hashes) == 6
    assert Pseudonyms(SALT).patient(' 1 ') == Pseudonyms(SALT).patient('1')
    assert Pseudonyms(SALT).patient('Mu\u0308ller') == Pseudonyms(SALT).patient('M\u00fcller')  # one or two code points
    assert Pseudonyms(SALT).patient('1')[2:] != Pseudonyms(SALT).video('1')[2:]


def test_names_keep_known_suffixes_only():
    names = [Pseudonyms(SALT).video(name) for name in ('a/doe.MP4', 'doe.dcm', 'a/1.2.840.77', 'a/x.doe', 'folder')]
    assert [name[18:] for name in names] == ['.mp4', '.dcm', '', '', '']
    assert len(set(names)) == 5


def test_salt_file_is_made_for_the_owner_only_and_used_again(tmp_path):
    path = tmp_path / 'salt'
    previous = os.umask(0)
    try:
        salt, note = read_salt(path, tmp_path / 'out')
    finally:
        os.umask(previous)
    assert len(salt) == 64 and 'created the salt file' in note and salt.decode() not in note
    if os.name == 'posix':
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_salt(path, tmp_path / 'out') == (salt, None)
    assert read_salt(tmp_path / 'other', tmp_path / 'out')[0] != salt
    path.chmod(0o644)
    assert os.name != 'posix' or 'chmod 600' in read_salt(path, tmp_path / 'out')[1]


def test_salt_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(SALT_VARIABLE, RANDOM)
    assert read_salt(None, tmp_path) == (RANDOM.encode(), None)
    (tmp_path / 'salt').write_text(RANDOM[::-1])
    (tmp_path / 'salt').chmod(0o600)
    assert read_salt(tmp_path / 'salt', tmp_path / 'out')[0] == RANDOM[::-1].encode()


GUESSED = [
    '', ' \n', 'k9k9k', 'a' * 16, 'a' * 500, 'a' * 63 + 'b', 'ab' * 64, 'abcd' * 16, 'deadbeef' * 8, '0123456789' * 5,
    '0123456789abcdef' * 2, 'abcdefghijklmnopqrstuvwxyz0123456789', 'ZYXWVUTSRQPONMLKJIHGFEDCBA' * 2,
    'hospital2024!' * 4,
    'Tr0ub4dor&3', 'correct horse battery staple', 'Correct Horse Battery Staple', 'a salt for tests only',
    RANDOM[:31],
]  # fmt: skip


@pytest.mark.parametrize('content', GUESSED, ids=range(len(GUESSED)))
@pytest.mark.parametrize('origin', ['file', 'environment'])
def test_a_salt_that_can_be_guessed_is_refused(tmp_path, monkeypatch, content, origin):
    monkeypatch.setenv(SALT_VARIABLE, content)
    (tmp_path / 'salt').write_text(content)
    with pytest.raises(SourceError, match='can be guessed') as caught:
        read_salt(tmp_path / 'salt' if origin == 'file' else None, tmp_path / 'out')
    said = str(caught.value)
    assert (str(tmp_path / 'salt') if origin == 'file' else SALT_VARIABLE) in said and 'new --salt-file' in said
    assert len(content.strip()) < 3 or content.strip() not in said


@pytest.mark.parametrize('seed', range(20))
def test_random_salts_are_taken(tmp_path, seed):
    rng = random.Random(seed)
    alphabets = {
        '0123456789': 39,
        '0123456789abcdef': 32,
        '0123456789ABCDEF': 64,
        string.ascii_letters + '0123456789-_': 22,
    }
    salts = [''.join(rng.choices(letters, k=length)).encode() for letters, length in alphabets.items()]
    for salt in [*salts, b'x' + rng.randbytes(30) + b'x']:
        (tmp_path / 'salt').write_bytes(salt)
        (tmp_path / 'salt').chmod(0o600)
        assert read_salt(tmp_path / 'salt', tmp_path / 'out') == (salt, None)


def test_no_salt_and_misplaced_salt(tmp_path, monkeypatch):
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    with pytest.raises(SourceError, match='--salt-file FILE'):
        read_salt(None, tmp_path)
    with pytest.raises(SourceError, match='is in the data folder'):
        read_salt(tmp_path / 'out/salt', tmp_path / 'out')
    with pytest.raises(SourceError, match='cannot be used'):
        read_salt(tmp_path / 'absent/salt', tmp_path / 'out')
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def scans(tmp_path):
    """Files of patients 1, 1, 2 and of nobody, and a clip."""
    pytest.importorskip('pydicom')
    from dicom_files import write_dicom

    (tmp_path / 'a').mkdir()
    for name, patient in (('w', 'PAT-1'), ('x', 'PAT-2'), ('y', 'PAT-1 '), ('z', '')):
        write_dicom(tmp_path / f'a/{name}.dcm', np.zeros((1, 4, 4), np.uint8), PatientID=patient, PatientName='Doe^J')
    (tmp_path / 'a/broken.dcm').write_text('PAT-1')
    (tmp_path / 'a/clip.mp4').touch()
    return tmp_path


def patients(sources):
    return {source.video_id: source.patient_id for source in sources}


def test_files_of_a_patient_are_grouped_without_their_id(scans):
    protected, warnings = protect_sources(find_sources(scans).sources)
    first = 'patient of a/w.dcm'
    assert patients(protected) == {
        'a/broken.dcm': None, 'a/clip.mp4': None, 'a/w.dcm': first, 'a/x.dcm': 'patient of a/x.dcm',
        'a/y.dcm': first, 'a/z.dcm': None,
    }  # fmt: skip
    assert warnings == []


def test_no_patient_is_named_after_a_clip_that_is_skipped(scans):
    """The first clip of patient 1 cannot be read, until it is repaired."""
    found = find_sources(scans)
    content = (scans / 'a/w.dcm').read_bytes()
    (scans / 'a/w.dcm').write_bytes(content[:-8])
    for whole in (False, True):
        if whole:
            (scans / 'a/w.dcm').write_bytes(content)
        protected = replace(found, sources=protect_sources(found.sources)[0])
        assert convert_sources(protected, scans / 'out', StoreSettings(), workers=1) == 0
        entries = read_annotations(scans / 'out' / 'annotations.json')['data_list']
        first = 'patient of a/w.dcm' if whole else 'patient of a/y.dcm'
        assert {entry['video_id']: entry['patient_id'] for entry in entries} == {
            **({'a/w.dcm': first} if whole else {}), 'a/x.dcm': 'patient of a/x.dcm', 'a/y.dcm': first, 'a/z.dcm': None,
        }  # fmt: skip


@pytest.mark.parametrize(
    ('one', 'other', 'same'),
    [
        *((' Pat-01_a', 'PAT 01A', True), ('ｐ１', 'p1', True), ('Straße', 'STRASSE', True), ('e\u0301', 'é', True)),
        *(('p1', 'p01', False), ('p-1', 'p-2', False), ('--', '..', False), ('क', 'कि', False)),
    ],
)
def test_ids_are_one_however_they_are_written(one, other, same):
    assert (normalised(one) == normalised(other)) is same


def test_the_users_key_is_made_once_and_readable_by_the_user_alone(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'new'))
    assert read_patient_key() is None and not (tmp_path / 'new').exists()
    key = read_patient_key(create=True)
    assert key_file() == tmp_path / 'new' / 'uscl' / 'patients.key'
    assert stat.S_IMODE(key_file().stat().st_mode) == 0o600
    again = read_patient_key(create=True)
    assert (again.key_id, again.patient('4711')) == (key.key_id, key.patient('4711'))
    key_file().unlink()
    other = read_patient_key(create=True)
    assert other.key_id != key.key_id and other.patient('4711') != key.patient('4711')
    key_file().write_text('short')
    with pytest.raises(SourceError, match=r'patients\.key'):
        read_patient_key()


def test_hashed_patients(scans):
    hashes = Pseudonyms(SALT)
    (scans / 'index.csv').write_text('path,label,patient_id\na/w.dcm,,\na/x.dcm,,\na/clip.mp4,,PAT-1\na/y.dcm,,mine\n')
    protected, _ = protect_sources(find_sources(scans).sources, hashes, hash_patients=True)
    assert patients(protected) == {
        'a/w.dcm': hashes.patient('mine'), 'a/x.dcm': hashes.patient('PAT-2'), 'a/clip.mp4': hashes.patient('PAT-1'),
        'a/y.dcm': hashes.patient('mine'),
    }  # fmt: skip


def test_hashed_names_carry_over_to_the_groups(scans):
    hashes = Pseudonyms(SALT)
    protected, _ = protect_sources(find_sources(scans).sources, hashes, hash_names=True)
    assert all(source.video_id.startswith('v-') and source.is_name_hidden for source in protected)
    assert {source.label for source in protected} == {'a'}
    assert {source.patient_id for source in protected} - {None} == {
        f'patient of {hashes.video(name)}' for name in ('a/w.dcm', 'a/x.dcm')
    }


def test_names_that_tell_are_warned_about_without_telling(scans):
    for old, new in (('w', 'DOE_1'), ('x', 'pat2-scan'), ('z', 'z')):
        (scans / f'a/{old}.dcm').rename(scans / f'a/{new}.dcm')
    (scans / 'a').rename(scans / 'doe')
    (scans / 'index.csv').write_text('path,label,patient_id\ndoe/DOE_1.dcm,doe,PAT-1\n')
    _, warnings = protect_sources(find_sources(scans).sources)
    assert warnings == [
        'names of files or folders of DICOM files contain elements of their headers (PatientName in 1): rename them, '
        'or use --hash-names.',
        'labels of DICOM files contain elements of their headers (PatientName in 1): rename the class folders, or give '
        'an index.csv.',
        'ids in the index of DICOM files contain elements of their headers (PatientID in 1): use --hash-patients.',
    ]
    (scans / 'index.csv').unlink()
    _, warnings = protect_sources(find_sources(scans).sources, Pseudonyms(SALT), True, True)
    assert len(warnings) == 1 and 'labels' in warnings[0] and 'doe' not in warnings[0]


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('covid/DOE-jane.dcm', ['PatientName']),
        ('covid/doering.dcm', []),
        ('janedoe1.dcm', ['PatientName']),
        ('x/1961-04-07/1.dcm', ['PatientBirthDate']),
        ('scan 471.dcm', ['PatientID']),
        ('scan 4712.dcm', []),
        ('ab.dcm', []),
    ],
)
def test_traces(text, expected):
    identity = {
        'PatientName': ['Jane^Doe', 'Jane', 'Doe'], 'PatientID': ['471'], 'PatientBirthDate': ['19610407'],
        'StudyID': ['ab'],
    }  # fmt: skip
    assert find_traces(text, identity) == expected


def test_hidden_names(tmp_path):
    folder = tmp_path / 'doe_jane'
    folder.mkdir()
    (folder / 'jane_01.png').touch()
    text = hide_names(f'image jane_01.png of {folder} cannot be read', folder)
    assert text == 'image a file of the file cannot be read'


def test_a_source_without_dicom_is_left_as_it_is():
    sources = [VideoSource('a.mp4', 'a.mp4', 'x', 'p1', 'train')]
    assert protect_sources(sources) == (sources, [])


@pytest.mark.parametrize('hash_patients', [False, True])
def test_patient_of_the_index_is_that_of_all_files_of_a_patient(scans, hash_patients):
    """Or the rows without one would be another patient, who may lie on the other side of a split."""
    (scans / 'index.csv').write_text('path,label,patient_id\na/w.dcm,,\na/x.dcm,,\na/y.dcm,,mine\n')
    protected, warnings = protect_sources(find_sources(scans).sources, Pseudonyms(SALT), hash_patients)
    found = patients(protected)
    assert found['a/w.dcm'] == found['a/y.dcm'] != found['a/x.dcm']
    assert not any('several patients' in warning for warning in warnings)
    (scans / 'index.csv').write_text('path,label,patient_id\na/w.dcm,,one\na/y.dcm,,two\n')
    _, warnings = protect_sources(find_sources(scans).sources, Pseudonyms(SALT), hash_patients)
    assert [warning for warning in warnings if '1 PatientID' in warning and 'PAT' not in warning]


def test_names_in_two_unicode_forms_are_two_videos():
    hashes = Pseudonyms(SALT)
    assert hashes.video('\u00e9.mp4') != hashes.video('e\u0301.mp4')
    assert hashes.patient('\u00e9') == hashes.patient('e\u0301 ')


@pytest.mark.parametrize(
    ('name', 'text', 'hidden'),
    [
        ('1.mp4', 'truncated: 411 of 1 000 bytes of 1.mp4', 'truncated: 411 of 1 000 bytes of the file'),
        ('a.mp4', 'damaged: a.mp4 at byte 7', 'damaged: the file at byte 7'),
        ('doe.mp4', 'doe.mp4, doe and endoectoderm', 'the file, the file and endoectoderm'),
    ],
)
def test_hidden_names_leave_other_words_alone(name, text, hidden):
    assert hide_names(text, Path('/data') / name) == hidden
