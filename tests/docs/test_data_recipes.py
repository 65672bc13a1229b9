"""Each recipe of docs/data_recipes.md runs on a made-up folder of the layout that it names, with its own command."""

import csv
import re
import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from docs_pages import DOCS, blocks
from media_clips import write_clip
from PIL import Image

from uscl import cli
from uscl.data.annotations import read_annotations

PAGE = DOCS / 'data_recipes.md'
HEADINGS = re.findall(r'^## (.+)$', PAGE.read_text(encoding='utf-8'), re.M)
NOISE = np.random.default_rng(0)


def image(path):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(NOISE.integers(0, 255, (20, 30), np.uint8)).save(path)


def frames(folder, prefix='', number=3):
    for k in range(number):
        image(Path(folder) / f'{prefix}{k}.png')


def video(path):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_clip(Path(path), 30)


def volume(path, number=12):
    """(x, y, z) in mm, like every third axis that is called nothing."""
    sitk = pytest.importorskip('SimpleITK')
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(NOISE.integers(0, 255, (number, 20, 30), np.uint8)), str(path))


def table(path, *rows):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open('w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows(rows)


def fatty_liver():
    kinds = [('id', 'O'), ('class', 'O'), ('fat', 'O'), ('images', 'O')]
    data = np.zeros((1, 3), kinds)
    for k in range(3):
        data[0, k] = (
            np.uint8(k + 1),
            np.uint8(k > 0),
            np.uint8(30 * k),
            NOISE.integers(0, 255, (10, 20, 30), np.uint8),
        )
    scipy.io.savemat('dataset_liver_bmodes_steatosis_assessment_IJCARS.mat', {'data': data})
    return {'patient01': ('normal', 'patient01', 10), 'patient02': ('fatty', 'patient02', 10), 'patient03': ...}


def acouslic_ai():
    root = Path('acouslic-ai-train-set')
    for uuid in 'abc':
        volume(root / f'images/stacked_fetal_ultrasound/{uuid}.mha', 30)
        volume(root / f'masks/stacked_fetal_abdomen/{uuid}.mha', 30)
    header = ('uuid', 'subject_id', 'sweep_1_ac_mm', 'sweep_2_ac_mm')
    rows = [('a', '7', '210.5', ''), ('b', '7', '', '212'), ('c', '9', '', '')]
    table(root / 'circumferences/fetal_abdominal_circumferences_per_sweep.csv', header, *rows)
    clip = 'images/stacked_fetal_ultrasound/{}.mha'.format
    return {clip('a'): (None, '7', 8), clip('b'): (None, '7', 8), clip('c'): (None, '9', 8)}


def maternal_fetal_videos():
    root = Path('DatasetV3')
    names = {
        'train/videos/20190909T155747I1__20190909T155747I1.avi': ('standard plane', '20190909T155747', 'train'),
        'train/videos/20190909T155747I5__20190909T155747I5.avi': ('standard plane', '20190909T155747', 'train'),
        'train/videos/20190830T115644__B_tmp_0.avi': ('other plane', '20190830T115644', 'train'),
        'val/videos/202012132137152159400I1.avi': (None, '202012132137152159400I1', 'val'),
        'test/videos/test_10_80.avi': (None, 'test_10_80', 'test'),
    }
    for name in names:
        video(root / name)
    image(root / 'train/seg/20190909T155747I1/mask/20190909T155747I1_0_6.png')
    rows = [
        ('20190909T155747I1.avi', 'TRUE'),
        ('20190909T155747I5.avi', 'True'),
        ('20190830T115644__B_tmp_0.avi', 'FALSE'),
    ]
    table(root / 'train/train_info.csv', ('filename', 'pos'), *rows)
    return {name: (label, patient, 8, split) for name, (label, patient, split) in names.items()}


def jnu_ifm():
    names = ('20190916T104520', '20190916T105526', '20191002T090000')
    for name in names:
        frames(f'us_data/{name}/image', f'{name}_', 12)
        frames(f'us_data/{name}/mask', f'{name}_')
        table(f'us_data/{name}/frame_label.csv', ('frame_id', 'frame_label'), (0, 3))
    return {f'{name}/image': (None, name[:8], 12) for name in names}


def echocp():
    for stem in ('001_r', '001_v', '002_r', '003_r'):
        volume(f'EchoCP_dataset/{stem}_image.nii.gz')
        volume(f'EchoCP_dataset/{stem}_label.nii.gz')
    rows = [(1, 'rest', 0), (1, 'valsalva', 2), (2, 'r', 'o')]
    table('echoCP_diagnosis_label.csv', ('Idx', 'Action', 'PFO level (o indicates No PFO)'), *rows)
    found = {'001_r': ('no PFO', '001'), '001_v': ('PFO', '001'), '002_r': ('no PFO', '002'), '003_r': (None, '003')}
    return {f'{stem}_image.nii.gz': (*facts, 8) for stem, facts in found.items()}


def camus():
    for number in ('0001', '0002'):
        for view in ('2CH', '4CH'):
            stem = f'database_nifti/patient{number}/patient{number}_{view}'
            for part in ('half_sequence', 'half_sequence_gt'):
                volume(f'{stem}_{part}.nii.gz')
            volume(f'{stem}_ED.nii.gz', 1)
    clip = 'patient{0}/patient{0}_{1}_half_sequence.nii.gz'.format
    return {clip(n, view): (view, f'patient{n}', 8) for n in ('0001', '0002') for view in ('2CH', '4CH')}


def echonet_dynamic():
    for name in ('0X1', '0X2', '0X3'):
        video(f'EchoNet-Dynamic/Videos/{name}.avi')
    rows = [('0X1', 62.1, 'TRAIN'), ('0X2', 34, 'VAL'), ('0X3.avi', 50, 'TEST')]
    table('EchoNet-Dynamic/FileList.csv', ('FileName', 'EF', 'Split'), *rows)
    table('EchoNet-Dynamic/VolumeTracings.csv', ('FileName', 'X1', 'Y1', 'X2', 'Y2', 'Frame'))
    found = {'0X1': ('normal', 'train'), '0X2': ('reduced', 'val'), '0X3': ('normal', 'test')}
    return {f'Videos/{name}.avi': (label, name, 8, split) for name, (label, split) in found.items()}


def busv():
    root = Path('miccai_buv/rawframes')
    names = (
        'benign/x66ef02e7f1b9a0ef',
        'benign/x63c9ba1377f35bf6',
        'malignant/2390fbea047347b',
        'benign/a',
        'malignant/b',
    )
    for name in names:
        frames(root / name, '00000', 5)
    table('miccai_buv/train.json')
    return {
        'benign/x63c9ba1377f35bf6': ('malignant', 'corrected', 5),
        'malignant/2390fbea047347b': ('malignant', 'corrected', 5),
        'benign/a': ('benign', None, 5),
        'malignant/b': ('malignant', None, 5),
    }


def lung_uganda():
    names = [
        f'{split}/{label}/x{split}.png' for split in ('train', 'test', 'validation') for label in ('covid', 'other')
    ]
    for name in names:
        image(f'dataset/{name}')
    splits = {'train': 'train', 'test': 'test', 'validation': 'val'}
    return {name: (name.split('/')[1], None, 1, splits[name.split('/')[0]]) for name in names}


def udiat_b():
    for k in range(1, 56):
        image(f'UDIAT-B/original/{k:06}.png')
        mask = np.zeros((20, 30), np.uint8)
        mask[5:15, 5:15] = 255
        Path('UDIAT-B/GT').mkdir(exist_ok=True)
        Image.fromarray(mask).save(f'UDIAT-B/GT/{k:06}.png')
    return {}


MAKERS = [
    fatty_liver,
    acouslic_ai,
    maternal_fetal_videos,
    jnu_ifm,
    echocp,
    camus,
    echonet_dynamic,
    busv,
    lung_uganda,
    udiat_b,
]


def code_of(heading):
    """The Python code of a section, and its commands."""
    start, found = 0, {'python': [], 'bash': []}
    text = PAGE.read_text(encoding='utf-8').splitlines()
    start = text.index(f'## {heading}')
    end = next((k for k, line in enumerate(text) if k > start and line.startswith('## ')), len(text))
    for block in blocks(PAGE):
        if start < block.line - 1 < end:
            found[block.language].append(block.code)
    return '\n'.join(found['python']), [shlex.split(code) for code in found['bash']]


def test_every_recipe_has_a_layout():
    names = [re.sub(r'\W+', '_', heading).lower() for heading in HEADINGS]
    assert names == ['first_lines', *(maker.__name__ for maker in MAKERS)]


@pytest.mark.parametrize('maker, heading', zip(MAKERS, HEADINGS[1:], strict=True), ids=[m.__name__ for m in MAKERS])
def test_recipe(maker, heading, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    expected = maker()
    code, (command,) = code_of(heading)
    exec(compile(f'{code_of("First lines")[0]}\n{code}', heading, 'exec'), {'__name__': 'recipe'})
    assert command[:2] == ['uscl', 'convert']
    if command[2] == 'lesions':
        assert cli.main(command[1:]) == 0
        assert 'Validation has 50 images' in capsys.readouterr().out
        return
    assert cli.main([*command[1:], '--workers', '1']) == 0, capsys.readouterr()
    entries = read_annotations(Path(command[command.index('--out') + 1]) / 'annotations.json')['data_list']
    assert {entry['video_id'] for entry in entries} == set(expected)
    for entry in entries:
        if expected[entry['video_id']] is not ...:
            label, patient, number, *split = expected[entry['video_id']]
            assert (entry['label'], entry['patient_id'], entry['num_frames']) == (label, patient, number), entry
            assert entry['split'] == split[0] if split else entry['split'] in ('train', 'val')
    of_patient = Counter((entry['patient_id'], entry['split']) for entry in entries if entry['patient_id'])
    assert len(of_patient) == len({patient for patient, _ in of_patient})  # none on two sides
