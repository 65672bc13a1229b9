import os
from pathlib import Path

import pytest
from lesion_folders import blobs, make_uclm, save, scan

from uscl.convert.lesions.lesion_sources import EXPECTED, find_lesions
from uscl.core.errors import SourceError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        save(root / name, scan() if '/' in name else blobs())
    return root


def paths(found):
    return [source.path.as_posix() for source in found]


def test_udiat_pairs_and_classes(tmp_path):
    touch(tmp_path, *(f'{folder}/{i:06d}.png' for folder in ('original', 'GT') for i in (1, 2, 10)))
    (tmp_path / 'Benign.txt').write_text('000001.png\n')
    (tmp_path / 'Malignant.txt').write_text('10\n')
    found, skipped = find_lesions('udiat_b', tmp_path, with_classes=True)
    assert [(s.path.name, s.label, s.masks) for s in found] == [
        ('000001.png', 'benign', (Path('GT/000001.png'),)),
        ('000010.png', 'malignant', (Path('GT/000010.png'),)),
    ]
    assert [entry.path for entry in skipped] == ['original/000002.png'] and '--classes 1' in skipped[0].reason
    found, skipped = find_lesions('udiat_b', tmp_path, with_classes=False)
    assert [source.label for source in found] == ['benign', None, 'malignant'] and not skipped


def test_udiat_without_lists(tmp_path):
    touch(tmp_path, 'original/1.png', 'GT/1.png')
    assert paths(find_lesions('udiat_b', tmp_path, with_classes=False)[0]) == ['original/1.png']
    with pytest.raises(SourceError, match=r'needs Benign\.txt and Malignant\.txt'):
        find_lesions('udiat_b', tmp_path, with_classes=True)
    (tmp_path / 'DatasetB.xlsx').touch()
    with pytest.raises(SourceError, match=r'save DatasetB\.xlsx as CSV'):
        find_lesions('udiat_b', tmp_path, with_classes=True)


def test_busi_masks_of_an_image(tmp_path):
    names = ['benign (2).png', 'benign (2)_mask.png', 'benign (2)_mask_1.png', 'benign (10).png']
    names += ['benign (10)_mask.png', 'benign (1)_mask.png', 'benign (3).png', '.hidden.png']
    touch(tmp_path, *(f'benign/{name}' for name in names), 'normal/normal (1).png', 'normal/normal (1)_mask.png')
    (tmp_path / 'benign/Thumbs.db').touch()
    found, skipped = find_lesions('busi', tmp_path, with_classes=True)
    assert paths(found) == ['benign/benign (2).png', 'benign/benign (10).png', 'normal/normal (1).png']
    assert [len(source.masks) for source in found] == [2, 1, 1]
    assert [source.label for source in found] == ['benign', 'benign', 'normal']
    assert dict(skipped) == {
        'benign/benign (1)_mask.png': 'a mask without an image: add the image',
        'benign/benign (3).png': 'it has no mask: add benign/benign (3)_mask.png, all black if there is no lesion',
    }


def test_uclm_patients_from_names_or_index(tmp_path):
    make_uclm(tmp_path, {'ANFO': 'bn', 'CAWI': 'm'})
    save(tmp_path / 'images/odd.png', scan())
    save(tmp_path / 'masks/odd.png', blobs())
    found, skipped = find_lesions('bus_uclm', tmp_path, with_classes=True)
    assert [source.patient_id for source in found] == ['ANFO', 'ANFO', 'CAWI', None] and not skipped
    rows = 'path,label,patient_id\nimages/ANFO_000.png,Benign,p1\nimages/CAWI_000.png,,\nimages/gone.png,,p\n'
    (tmp_path / 'index.csv').write_text(rows)
    found, skipped = find_lesions('bus_uclm', tmp_path, with_classes=True)
    assert [(s.path.name, s.label, s.patient_id) for s in found] == [
        ('ANFO_000.png', 'benign', 'p1'),
        ('CAWI_000.png', None, None),
    ]
    reasons = dict(skipped)
    assert sorted(reasons) == ['images/ANFO_001.png', 'images/gone.png', 'images/odd.png']
    assert 'index.csv does not list it' in reasons['images/odd.png'] and 'missing' in reasons['images/gone.png']


def test_pairs_of_stems(tmp_path):
    touch(tmp_path, 'images/a.jpg', 'masks/a.png', 'images/b.png', 'masks/c.png')
    touch(tmp_path, 'images/d.png', 'images/d.bmp', 'masks/d.png')
    found, skipped = find_lesions('pairs', tmp_path, with_classes=False)
    assert [(s.path.name, s.masks, s.patient_id) for s in found] == [('a.jpg', (Path('masks/a.png'),), None)]
    reasons = dict(skipped)
    assert 'add masks/b.png' in reasons['images/b.png']
    assert 'without an image' in reasons['masks/c.png']
    ambiguous = {path for path, reason in skipped if 'same name' in reason}
    assert ambiguous == {'images/d.png', 'images/d.bmp', 'masks/d.png'}


def test_an_ambiguous_image_of_the_index_is_listed_once(tmp_path):
    touch(tmp_path, 'images/a.png', 'masks/a.png', 'images/b.png')
    (tmp_path / 'index.csv').write_text('path,label,patient_id\nimages/a.png,,\nimages/b.png,,\n')
    skipped = find_lesions('pairs', tmp_path, with_classes=False)[1]
    assert [entry.path for entry in skipped] == ['images/b.png']


def test_folders_in_any_case(tmp_path):
    touch(tmp_path, 'Images/a.png', 'MASKS/a.png')
    assert paths(find_lesions('pairs', tmp_path, with_classes=False)[0]) == ['Images/a.png']


@pytest.mark.skipif(os.name == 'nt', reason='file names are Unicode there')
def test_name_that_is_not_utf8(tmp_path):
    touch(tmp_path, 'images/a.png', 'masks/a.png')
    for folder in ('images', 'masks'):
        try:
            (tmp_path / folder / 'a.png').rename(tmp_path / folder / os.fsdecode(b'\xe9.png'))
        except OSError:
            pytest.skip('this file system takes UTF-8 only')
    found, skipped = find_lesions('pairs', tmp_path, with_classes=False)
    assert not found and [tuple(entry) for entry in skipped] == [
        ('images/\ufffd.png', 'its name is not valid UTF-8 or holds control characters: rename it')
    ]


@pytest.mark.parametrize('kind', EXPECTED)
def test_wrong_folder(tmp_path, kind):
    touch(tmp_path, 'image/a.png', 'mask.png')
    with pytest.raises(SourceError) as caught:
        find_lesions(kind, tmp_path, with_classes=False)
    assert f'is not a {kind} folder: expected {EXPECTED[kind]}; found image/, mask.png.' in str(caught.value)
    with pytest.raises(SourceError, match=r'mask\.png is not a folder'):
        find_lesions(kind, tmp_path / 'mask.png', with_classes=False)
    with pytest.raises(SourceError, match=r'absent does not exist'):
        find_lesions(kind, tmp_path / 'absent', with_classes=False)
    empty = tmp_path / 'empty'
    empty.mkdir()
    with pytest.raises(SourceError, match=r'found nothing\.'):
        find_lesions(kind, empty, with_classes=False)
