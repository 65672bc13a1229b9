"""What the converter says of a folder as people keep them."""

import csv
import shutil

import pytest
from PIL import Image
from tool_module import load_tool

from uscl.data.annotations import read_annotations


@pytest.fixture(scope='module')
def main(root):
    return load_tool('tools/dataset_converters/videos_to_clusters.py').main


def write_gif(path, num_frames=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [Image.new('L', (24, 16), 20 * k + 10) for k in range(num_frames)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=1000)


@pytest.fixture
def source(tmp_path):
    """Six clips, an index as German spreadsheets write it, and what else lies about in a clinic."""
    root = tmp_path / 'src'
    for k in range(6):
        write_gif(root / f'clips/v{k}.gif')
    ids = ['1', '01', '', 'NaN', 'p9']
    rows = [f'clips\\v{k}.gif;Größe;{patient}' for k, patient in enumerate(ids)]
    (root / 'Index.csv').write_text('\r\n'.join(['Path;Label;Patient ID', *rows, ';;', '']), encoding='cp1252')
    for name in ('a.docx', 'b.docx', 'old.zip', 'README.txt', 'Thumbs.db', '.DS_Store'):
        (root / name).write_text('x')
    return root


def skipped(out):
    with (out / 'skipped.csv').open(newline='') as file:
        return {row['video_id']: row['reason'] for row in csv.DictReader(file)}


def test_report(main, source, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main([str(source), '--out', str(out), '--workers', '1']) == 0
    said = capsys.readouterr().out
    assert '6 files ignored: ' in said and '1 clip that Index.csv does not list' in said
    assert all(f' {part}' in said for part in ('2 .docx', '2 documents beside the clips', '1 .zip (unpack it)'))
    assert '1 cell, first in row 5' in said
    assert 'patient 1 / 01.' in said
    assert '2 of 5 videos without a patient id' in said
    assert skipped(out) == {
        'a.docx': 'ignored: .docx',
        'b.docx': 'ignored: .docx',
        'old.zip': 'ignored: .zip, unpack it',
        'clips/v5.gif': 'ignored: clip that Index.csv does not list',
    }
    annotations = read_annotations(out / 'annotations.json')
    assert annotations['metainfo']['classes'] == ['Größe']
    assert [entry['patient_id'] for entry in annotations['data_list']] == ['1', '01', None, None, 'p9']


def test_nothing_is_said_of_a_tidy_folder(main, tmp_path, capsys):
    write_gif(tmp_path / 'src/a/x.gif')
    (tmp_path / 'src/index.csv').write_text('path,label,patient_id\na/x.gif,a,p1\n')
    assert main([str(tmp_path / 'src'), '--out', str(tmp_path / 'out'), '--workers', '1']) == 0
    said = capsys.readouterr().out
    assert 'warning' not in said and '1 file ignored: 1 document beside the clips.' in said
    assert not (tmp_path / 'out/skipped.csv').exists()


def test_dry_run_says_the_same_and_writes_the_overview_only(main, source, tmp_path, capsys):
    (source / 'clips/v1.gif').write_bytes(b'no clip')
    salt = ['--hash-patients', '--salt-file', str(tmp_path / 'salt')]
    before = sorted(tmp_path.rglob('*'))
    for extra in ([], salt):
        assert main([str(source), '--out', str(tmp_path / 'out'), '--workers', '1', '--dry-run', *extra]) == 0
        page = (tmp_path / 'out/overview.html').read_text(encoding='utf-8')
        assert page.count('data:image/jpeg') == 4 and 'ignored' in page
        shutil.rmtree(tmp_path / 'out')
        assert sorted(tmp_path.rglob('*')) == before
    dry = capsys.readouterr().out
    assert 'Nothing was converted' in dry and 'skipped clips/v1.gif: ' in dry and '4 can be read, 1 cannot' in dry
    assert main([str(source), '--out', str(tmp_path / 'out'), '--workers', '1']) == 0
    wet = capsys.readouterr().out
    for word in ('ignored', 'warning', 'skipped clips'):
        lines = [line for line in wet.splitlines() if word in line and 'skipped.csv' not in line]
        assert lines and all(line in dry for line in lines)
    for clip in source.glob('clips/*'):
        clip.write_bytes(b'no clip')
    assert main([str(source), '--out', str(tmp_path / 'new'), '--workers', '1', '--dry-run']) == 1


def test_stills(main, tmp_path, capsys):
    for name in ('benign/1.png', 'benign/2.png', 'malignant/3.png'):
        (tmp_path / 'src' / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('L', (24, 16), 99).save(tmp_path / 'src' / name)
    command = [str(tmp_path / 'src'), '--out', str(tmp_path / 'out'), '--workers', '1']
    assert main(command) == 2
    assert '--stills' in capsys.readouterr().err and not (tmp_path / 'out').exists()
    assert main([*command, '--stills']) == 0
    entries = read_annotations(tmp_path / 'out/annotations.json')['data_list']
    assert [(entry['video_id'], entry['label'], entry['num_frames']) for entry in entries] == [
        ('benign/1.png', 'benign', 1),
        ('benign/2.png', 'benign', 1),
        ('malignant/3.png', 'malignant', 1),
    ]


def test_linked_clips(main, tmp_path):
    write_gif(tmp_path / 'pool/x.gif')
    (tmp_path / 'src').mkdir()
    (tmp_path / 'src/a').symlink_to(tmp_path / 'pool')
    command = [str(tmp_path / 'src'), '--out', str(tmp_path / 'out'), '--workers', '1']
    assert main(command) == 1 and '--follow-links' in skipped(tmp_path / 'out')['a']
    assert main([*command, '--follow-links']) == 0
    (entry,) = read_annotations(tmp_path / 'out/annotations.json')['data_list']
    assert (entry['video_id'], entry['label']) == ('a/x.gif', 'a')


def test_names_of_ignored_files_are_hashed_too(main, source, tmp_path, capsys):
    for name in ('smith jane.smith', 'smith.docx', 'jane/smith.zip'):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text('x')
    (source / 'Index.csv').write_text('path,label,patient_id\nclips/v0.gif,a,smith\nclips/v1.gif,a,SMITH\n')
    salt = ['--salt-file', str(tmp_path / 'salt'), '--hash-names', '--hash-patients']
    assert main([str(source), '--out', str(tmp_path / 'out'), '--workers', '1', *salt]) == 0
    said, text = capsys.readouterr(), (tmp_path / 'out/skipped.csv').read_text()
    for place in (said.out.replace(str(tmp_path), ''), text):
        assert 'smith' not in place.lower() and 'jane' not in place
    assert '1 group of patient ids' in said.out and '2 .zip (unpack it)' in said.out
    assert text.count('ignored: .zip') == 2
