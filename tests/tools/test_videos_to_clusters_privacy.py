"""What the converter writes of the people in its clips."""

import shutil

import numpy as np
import pytest
from tool_module import load_tool

pytest.importorskip('pydicom')
from dicom_files import PRIVATE, SECRETS, TRACES, write_dicom

from uscl.convert.privacy.pseudonyms import SALT_VARIABLE, Pseudonyms
from uscl.convert.privacy.static_mask import TOLERANCE
from uscl.data.annotations import read_annotations
from uscl.data.frame_store import read_index
from uscl.data.png_frames import store_name

SALT = '9f86d081884c7d659a2feaa0c55ad015'


@pytest.fixture(scope='module')
def main(root):
    return load_tool('tools/dataset_converters/videos_to_clusters.py').main


def moving(count=12, seed=0):
    frames = np.random.default_rng(seed).integers(30, 200, (count, 40, 40)).astype(np.uint8)
    frames[:, :12] = 0
    frames[:, 3:8, 3:20] = 255
    return frames


@pytest.fixture
def source(tmp_path):
    """Good and broken files of one patient, in two classes."""
    root = tmp_path / 'src'
    for folder in ('covid', 'regular'):
        (root / folder).mkdir(parents=True)
    write_dicom(root / 'covid/good.dcm', moving(), secret=True)
    write_dicom(root / 'covid/rle.dcm', moving(seed=1), syntax='rle', secret=True)
    write_dicom(root / 'regular/IM_0001', moving(seed=2), syntax='jpeg', secret=True)
    write_dicom(root / 'regular/still.dcm', moving(1), secret=True)
    write_dicom(root / 'regular/photometric.dcm', moving(), PRIVATE, secret=True)
    write_dicom(root / 'regular/empty.dcm', moving(), secret=True, edit=lambda dataset: dataset.pop('PixelData'))
    content = (root / 'covid/good.dcm').read_bytes()
    (root / 'regular/cut.dcm').write_bytes(content[:-9000])
    (root / 'regular/header.dcm').write_bytes(content[:600])
    wrong = PRIVATE.ljust(18).encode()
    timed = write_dicom(root / 'covid/time.dcm', moving(seed=3), secret=True, FrameTime='12.5')
    timed.write_bytes(timed.read_bytes().replace(b'DS\x04\x0012.5', b'DS\x12\x00' + wrong))
    count = (b'\x28\x00\x08\x00IS\x02\x0012', b'\x28\x00\x08\x00IS\x12\x00' + wrong)
    (root / 'regular/count.dcm').write_bytes(content.replace(*count))
    (root / 'covid/text.dcm').write_text(' '.join(TRACES))
    assert PRIVATE.encode() in timed.read_bytes() and count[0] in content
    return root


def everything(folder):
    """All bytes of all files, and their names, below a folder."""
    return b'\0'.join(
        str(path.relative_to(folder)).encode() + (path.read_bytes() if path.is_file() else b'')
        for path in sorted(folder.rglob('*'))
    )


@pytest.mark.parametrize(
    'options', [[], ['--hash-patients'], ['--hash-names', '--mask-static'], ['--val-fraction', '0.4']]
)
@pytest.mark.parametrize('with_index', [False, True])
def test_nothing_of_a_patient_is_written(main, source, tmp_path, capfd, monkeypatch, options, with_index):
    monkeypatch.setenv(SALT_VARIABLE, SALT)
    if with_index:
        rows = [
            f'{path.relative_to(source).as_posix()},{path.parent.name},' for path in source.rglob('*') if path.is_file()
        ]
        (source / 'index.csv').write_text('\n'.join(['path,label,patient_id', *rows, 'covid/gone.dcm,covid,']) + '\n')
    out = tmp_path / 'out'
    assert main([str(source), '--out', str(out), '--workers', '2', *options]) == 0
    entries = read_annotations(out / 'annotations.json')['data_list']
    assert len(entries) == (4 if '--mask-static' in options else 5)
    assert len({entry['patient_id'] for entry in entries}) == 1 and entries[0]['patient_id'] is not None
    captured = capfd.readouterr()
    written = everything(out) + captured.out.encode() + captured.err.encode()
    assert len(written) > 20_000
    assert [
        trace for trace in [*TRACES, SALT] if trace.encode() in written or trace.encode('utf-16-le') in written
    ] == []
    assert 'skipped' in captured.out and 'warning' not in captured.err.lower()
    if '--hash-names' in options:
        assert not [name for name in (b'good', b'IM_0001', b'photometric') if name in written]


def test_same_patient_same_hash_across_runs_and_formats(main, source, tmp_path, monkeypatch):
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    ids = []
    for number, salt in enumerate(['one', 'one', 'two']):
        out = tmp_path / f'out{number}'
        command = [str(source), '--out', str(out), '--hash-patients', '--salt-file', str(tmp_path / salt)]
        assert main([*command, '--workers', '1', '--size', str(20 + number)]) == 0
        annotations = read_annotations(out / 'annotations.json')
        assert annotations['metainfo']['settings']['patients_hashed'] is True
        ids.append({entry['patient_id'] for entry in annotations['data_list']})
    salt = (tmp_path / 'one').read_bytes().strip()
    assert ids[0] == ids[1] == {Pseudonyms(salt).patient(SECRETS['PatientID'])} and ids[2] != ids[0]


def test_masks_are_shown_and_listed(main, source, tmp_path, capsys):
    command = [str(source), '--out', str(tmp_path / 'out'), '--mask-static', '--workers', '1']
    assert main(command) == 0
    said = capsys.readouterr().out
    assert 'Check what was blanked (red)' in said and 'regular/still.dcm: 1 frame, too few' in said
    pictures = sorted(path.name[:-13] for path in (tmp_path / 'out/masked').glob('*.png'))
    assert pictures == ['covid__good.dcm', 'covid__rle.dcm', 'covid__time.dcm', 'regular__IM_0001']
    lines = (tmp_path / 'out/masked/blanked.csv').read_text().splitlines()
    shares = dict(line.split(',') for line in lines[1:])
    assert lines[0] == 'video_id,blanked_share' and len(shares) == 4
    assert float(shares['covid/good.dcm']) == pytest.approx(0.3, abs=0.06)
    assert f'{100 * float(shares["covid/good.dcm"]):.1f} %' in said
    assert read_annotations(tmp_path / 'out/annotations.json')['metainfo']['settings']['static_masked'] is True
    assert main(command) == 0
    again = capsys.readouterr().out
    assert '0 converted now, 4 complete already' in again and f'{100 * float(shares["covid/good.dcm"]):.1f} %' in again
    assert main([*command, '--mask-tolerance', '3']) == 0
    assert '4 converted now' in capsys.readouterr().out
    assert main([str(source), '--out', str(tmp_path / 'out'), '--workers', '1']) == 0
    assert '5 converted now' in capsys.readouterr().out and not list((tmp_path / 'out/masked').glob('*'))


def test_without_options_nothing_is_said_of_them(main, source, tmp_path):
    assert main([str(source), '--out', str(tmp_path / 'out'), '--workers', '1']) == 0
    annotations = read_annotations(tmp_path / 'out/annotations.json')
    assert set(annotations['metainfo']) == {'dataset_type', 'format_version', 'classes', 'settings'}
    settings = {
        'fps': 3.0,
        'size': 256,
        'color': 'auto',
        'mask_tolerance': None,
        'min_frames': 8,
        'third_axis_time': False,
    }
    assert annotations['metainfo']['settings'] == settings


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--hash-patients'], 'give --salt-file FILE'),
        (['--hash-names', '--salt-file', 'src/empty'], 'src/empty can be guessed'),
        (['--hash-names', '--salt-file', 'out/salt'], 'is in the data folder'),
    ],
)
def test_wrong_salts_give_one_line(main, source, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    (source / 'empty').touch()
    assert main(['src', '--out', 'out', *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ') and message in error and error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_options_leave_nothing_of_a_run_without_them(main, source, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(SALT_VARIABLE, SALT)
    out = tmp_path / 'out'
    assert main([str(source), '--out', str(out)]) == 0
    plain = read_index(out)
    options = ['--hash-patients', '--hash-names', '--mask-static', '--keep-images']
    assert main([str(source), '--out', str(out), *options]) == 0
    hidden = read_index(out)
    assert not set(plain.videos) & set(hidden.videos) and not set(plain.shards) & set(hidden.shards)
    names = {store_name(video_id) for video_id in hidden.videos}
    assert {path.stem for path in (out / 'masked').glob('*.png')} == names
    assert {path.name for path in (out / 'frames').iterdir()} == names
    assert {path.name for path in (out / 'store').iterdir()} == {'index.json', *hidden.shards}
    assert b'good.dcm' not in everything(out)


def test_nothing_stays_if_all_clips_are_skipped(main, tmp_path):
    source, out = tmp_path / 'src', tmp_path / 'out'
    source.mkdir()
    write_dicom(source / 'still.dcm', moving(1))
    assert main([str(source), '--out', str(out)]) == 0
    assert main([str(source), '--out', str(out), '--mask-static']) == 1
    assert [path.name for path in out.rglob('*') if path.is_file()] == ['skipped.csv']


def test_pictures_may_be_deleted(main, source, tmp_path):
    out = tmp_path / 'out'
    assert main([str(source), '--out', str(out), '--mask-static']) == 0
    shutil.rmtree(out / 'masked')
    shutil.rmtree(out / 'store')
    assert main([str(source), '--out', str(out), '--mask-static']) == 0
    assert (out / 'masked/blanked.csv').is_file() and (out / 'store/index.json').is_file()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--salt-file', 'salt'], '--salt-file needs --hash-patients or --hash-names'),
        (['--mask-tolerance', '12'], '--mask-tolerance needs --mask-static'),
    ],
)
def test_options_that_would_do_nothing(main, source, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as ended:
        main([str(source), '--out', str(tmp_path / 'out'), *options])
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_help_names_what_is_taken_by_default(main, capsys):
    with pytest.raises(SystemExit):
        main(['--help'])
    said = ' '.join(capsys.readouterr().out.split())
    assert f'may flicker (default: {TOLERANCE})' in said and f'the environment variable {SALT_VARIABLE})' in said


def test_padding_and_unusual_bits(main, tmp_path):
    source, out = tmp_path / 'src', tmp_path / 'out'
    source.mkdir()
    write_dicom(
        source / 'padded.dcm', moving(), edit=lambda data: setattr(data, 'PixelData', data.PixelData + bytes(10))
    )
    write_dicom(source / 'high.dcm', moving(), HighBit=6)
    assert main([str(source), '--out', str(out)]) == 0
    assert [entry['video_id'] for entry in read_annotations(out / 'annotations.json')['data_list']] == ['padded.dcm']
    assert 'unusual bits (HighBit 6 of 8)' in (out / 'skipped.csv').read_text()
