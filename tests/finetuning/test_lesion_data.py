"""All images of a folder are used once, and patients are on one side."""

import json

import pytest
from lesion_folders import make_uclm
from tool_module import load_tool

from uscl.core.errors import SourceError
from uscl_plugin.finetuning.lesion_data import read_lesions


@pytest.fixture
def convert(tmp_path):
    """A function that converts scans by patient, and returns the folder."""

    def make(patients, *options):
        source = make_uclm(tmp_path / 'source', patients)
        tool = load_tool('tools/dataset_converters/lesions_to_coco.py')
        assert tool.main(['bus_uclm', str(source), '--out', str(tmp_path / 'data'), '--no-overview', *options]) == 0
        return tmp_path / 'data'

    return make


SCANS = {'ALWI': 'bm', 'ANAT': 'x', 'CAGO': 'bn', 'CASC': 'm', 'CHEL': 'bb'}


@pytest.mark.parametrize('options', [('--val', '2'), ('--folds', '3')], ids=['split', 'folds'])
def test_splits_and_folds_give_every_image_and_lesion_once(convert, options):
    folder = convert(SCANS, *options, '--classes', '2')
    data = read_lesions(folder, 0.3, 0)
    names = [image['file_name'] for image in data.images]
    assert len(names) == len(set(names)) == 8 == len(list((folder / 'images').iterdir()))
    assert len(data.annotations) == 8 and data.has_masks  # 'x' has two, 'n' none
    assert [image['id'] for image in data.images] == list(range(1, 9))
    assert sorted(lesion['id'] for lesion in data.annotations) == list(range(1, 9))
    code = {image['id']: image['patient_id'] for image in data.images}
    found = sorted(code[lesion['image_id']] for lesion in data.annotations)
    assert found == ['ALWI', 'ALWI', 'ANAT', 'ANAT', 'CAGO', 'CASC', 'CHEL', 'CHEL']
    parts = [data.part(side) for side in (False, True)]
    patients = [{image['patient_id'] for image in part['images']} for part in parts]
    assert all(patients) and not patients[0] & patients[1] and patients[0] | patients[1] == set(SCANS)
    assert all(part['annotations'] for part in parts)
    assert data == read_lesions(folder, 0.3, 0)


def test_nothing_is_held_back_where_one_side_would_have_no_lesion(convert):
    folder = convert({'ALWI': 'bm', 'ANAT': 'nn', 'CAGO': 'n'}, '--val', '1')
    assert read_lesions(folder, 0.3, 0).held_back == set()


def test_what_cannot_be_joined_is_refused(convert, tmp_path):
    with pytest.raises(SourceError, match='empty'):
        read_lesions(tmp_path / 'empty', 0.2, 0)
    folder = convert(SCANS, '--val', '2')
    read_lesions(folder, 0.2, 0)
    path = folder / 'annotations' / 'val.json'
    content = json.loads(path.read_text())
    content['categories'][0]['name'] = 'cyst'
    path.write_text(json.dumps(content))
    with pytest.raises(SourceError, match=r'val\.json'):
        read_lesions(folder, 0.2, 0)
    for part in ('train', 'val'):
        content = json.loads((folder / 'annotations' / f'{part}.json').read_text())
        (folder / 'annotations' / f'{part}.json').write_text(json.dumps(content | {'annotations': []}))
    path.unlink()
    with pytest.raises(SourceError, match='no lesion'):
        read_lesions(folder, 0.2, 0)
