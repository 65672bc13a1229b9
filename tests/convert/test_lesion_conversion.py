import csv
import json
import os

import cv2
import numpy as np
import pytest
from lesion_folders import RED, blobs, flood_components, make_uclm, paint, save, scan
from PIL import Image
from pycocotools.coco import COCO

from uscl.convert.lesions.lesion_conversion import convert_lesions, unique_names
from uscl.convert.lesions.lesion_settings import LesionSettings
from uscl.core.errors import FolderInUseError, SourceError

PATIENTS = {'AA': 'xb', 'BB': 'bbn', 'CC': 'mn', 'DD': 'bmm', 'EE': 'b', 'FF': 'm'}


def load(path, capsys):
    coco = COCO(str(path))
    capsys.readouterr()
    return coco


def reasons(out):
    with (out / 'skipped.csv').open(encoding='utf-8', newline='') as file:
        return {row['path']: row['reason'] for row in csv.DictReader(file)}


@pytest.mark.parametrize('classes', [1, 2])
def test_pycocotools_finds_the_components_of_the_source(tmp_path, capsys, classes):
    root, out = make_uclm(tmp_path / 'src', PATIENTS), tmp_path / 'out'
    assert convert_lesions(root, out, LesionSettings('bus_uclm', classes), overview=False) == 0
    coco = load(out / 'annotations/train.json', capsys)
    names = {1: ['lesion'], 2: ['benign', 'malignant']}[classes]
    assert [(c['id'], c['name']) for c in coco.loadCats(coco.getCatIds())] == list(enumerate(names, start=1))
    assert [image['file_name'] for image in coco.dataset['images']] == sorted(
        p.name for p in (root / 'images').iterdir()
    )
    for image in coco.dataset['images']:
        pixels = np.asarray(Image.open(root / 'masks' / image['file_name']))
        assert (image['height'], image['width']) == pixels.shape[:2]
        expected = {
            (component, 1 if classes == 1 else category)
            for category, channel in ((1, 1), (2, 0))
            for component in flood_components(pixels[..., channel])
        }
        annotations = coco.imgToAnns[image['id']]
        decoded = set()
        for annotation in annotations:
            rows, columns = np.nonzero(coco.annToMask(annotation))
            decoded.add((frozenset(zip(rows.tolist(), columns.tolist(), strict=True)), annotation['category_id']))
            assert annotation['area'] == len(rows) and annotation['iscrowd'] == 0
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert annotation['bbox'] == box
        assert decoded == expected and len(annotations) == len(expected)
        linked = out / 'images' / image['file_name']
        assert linked.read_bytes() == (root / 'images' / image['file_name']).read_bytes()
    assert [image['label'] for image in coco.dataset['images'][:2]] == ['malignant', 'benign']
    assert coco.dataset['images'][0]['patient_id'] == 'AA'
    counts = coco.dataset['info']['counts']
    assert (counts['images'], counts['negatives'], counts['patients']) == (12, 2, 6)
    assert sum(counts['lesions'].values()) == 11


def test_val_keeps_patients_together_and_ids_apart(tmp_path, capsys):
    root, out = make_uclm(tmp_path / 'src', PATIENTS), tmp_path / 'out'
    settings = LesionSettings('bus_uclm', 2, val=4, seed=3)
    assert convert_lesions(root, out, settings) == 0
    printed = capsys.readouterr().out
    assert 'Validation has 4 images.' in printed and 'What stays together: patients.' in printed
    train, val = (json.loads((out / f'annotations/{part}.json').read_text()) for part in ('train', 'val'))
    assert len(val['images']) == 4 and len(train['images']) == 8
    for key in ('patient_id', 'id', 'file_name'):
        assert not {i[key] for i in train['images']} & {i[key] for i in val['images']}
    assert not {a['id'] for a in train['annotations']} & {a['id'] for a in val['annotations']}
    for part in (train, val):
        assert {a['image_id'] for a in part['annotations']} <= {i['id'] for i in part['images']}
    assert val['info']['settings'] == dict(kind='bus_uclm', classes=2, min_area=20, val=4, folds=None, seed=3)
    assert (val['info']['source'], val['info']['split'], val['info']['grouping']) == ('src', 'val', 'patients')
    first = (out / 'annotations/val.json').read_bytes()
    assert convert_lesions(root, out, settings) == 0
    assert (out / 'annotations/val.json').read_bytes() == first
    assert (out / 'overview.jpg').is_file() and not (out / 'skipped.csv').exists()


def test_folds_partition_and_replace_what_was_there(tmp_path):
    root, out = make_uclm(tmp_path / 'src', PATIENTS), tmp_path / 'out'
    assert convert_lesions(root, out, LesionSettings('bus_uclm', val=3)) == 0
    assert convert_lesions(root, out, LesionSettings('bus_uclm', folds=3), overview=False) == 0
    names = [f'fold_{k}_{part}.json' for k in range(3) for part in ('train', 'val')]
    assert sorted(path.name for path in (out / 'annotations').iterdir()) == names
    assert not (out / 'overview.jpg').exists()
    files = {name: json.loads((out / 'annotations' / name).read_text()) for name in names}
    held = [{i['file_name'] for i in files[f'fold_{k}_val.json']['images']} for k in range(3)]
    assert sum(map(len, held)) == len(set.union(*held)) == 12
    for k in range(3):
        train = files[f'fold_{k}_train.json']
        assert {i['file_name'] for i in train['images']} == set.union(*held) - held[k]
        patients = {i['patient_id'] for i in train['images']}
        assert not patients & {i['patient_id'] for i in files[f'fold_{k}_val.json']['images']}
        assert train['info']['split'] == f'fold_{k}_train'
        total = len(train['annotations']) + len(files[f'fold_{k}_val.json']['annotations'])
        assert total == 11


def test_bad_files_are_listed_and_the_rest_converted(tmp_path, capsys):
    root, out = make_uclm(tmp_path / 'src', {'AA': 'bbbbbn'}), tmp_path / 'out'
    (root / 'masks/AA_000.png').unlink()
    (root / 'images/AA_001.png').unlink()
    save(root / 'masks/AA_002.png', paint((RED, 5, 5, 8, 8), size=(31, 40)))
    (root / 'images/AA_003.png').write_bytes(b'\x89PNG')
    save(root / 'masks/AA_004.png', paint((RED, 5, 5, 8, 8), (RED, 25, 5, 2, 2)))
    assert convert_lesions(root, out, LesionSettings('bus_uclm')) == 0
    listed = reasons(out)
    assert listed['images/AA_000.png'] == 'it has no mask: add masks/AA_000.png, all black if there is no lesion'
    assert listed['masks/AA_001.png'].startswith('a mask without an image')
    assert listed['images/AA_002.png'].startswith('it has 40x30 pixels, its mask AA_002.png 40x31')
    assert 'AA_003.png cannot be read' in listed['images/AA_003.png'] and len(listed) == 4
    printed = capsys.readouterr().out
    assert all(f'skipped {path}: {reason}' in printed for path, reason in listed.items())
    assert '1 speck below 20 pixels dropped.' in printed
    train = json.loads((out / 'annotations/train.json').read_text())
    assert [i['file_name'] for i in train['images']] == ['AA_004.png', 'AA_005.png']
    assert train['info']['counts'] == dict(images=2, negatives=1, patients=1, lesions=dict(lesion=1))
    assert train['info']['specks_dropped'] == 1


def test_nothing_readable(tmp_path, capsys):
    save(tmp_path / 'src/images/a.png', scan())
    (tmp_path / 'src/masks').mkdir()
    assert convert_lesions(tmp_path / 'src', tmp_path / 'out', LesionSettings('pairs')) == 1
    assert list(reasons(tmp_path / 'out')) == ['images/a.png']
    assert 'could be read' in capsys.readouterr().out


def test_busi_with_equal_names_in_two_folders(tmp_path, capsys):
    root, out = tmp_path / 'src', tmp_path / 'out'
    for label in ('benign', 'malignant', 'normal'):
        save(root / label / '1.png', scan(len(label)))
        save(root / label / '1_mask.png', blobs() if label == 'normal' else blobs((5, 5, 9, 9)))
    save(root / 'normal/2.png', scan())
    save(root / 'normal/2_mask.png', blobs((5, 5, 9, 9)))
    assert convert_lesions(root, out, LesionSettings('busi', classes=2)) == 0
    printed = capsys.readouterr().out
    assert 'malignant/1.png was renamed to malignant_1.png' in printed
    document = json.loads((out / 'annotations/train.json').read_text())
    labels = {i['file_name']: (i['label'], i['patient_id']) for i in document['images']}
    assert labels == {f'{label}_1.png': (label, None) for label in ('benign', 'malignant', 'normal')}
    for label in ('benign', 'malignant', 'normal'):
        copied = np.asarray(Image.open(out / 'images' / f'{label}_1.png'))
        np.testing.assert_array_equal(copied, scan(len(label)))
    assert document['info']['counts']['lesions'] == dict(benign=1, malignant=1)
    assert 'labelled normal' in reasons(out)['normal/2.png']


def test_inverted_masks_are_warned_of(tmp_path, capsys):
    for number, mask in enumerate([blobs((5, 5, 9, 9)), 255 - blobs((5, 5, 9, 9))]):
        save(tmp_path / f'src/images/{number}.png', scan(number))
        save(tmp_path / f'src/masks/{number}.png', mask)
    assert convert_lesions(tmp_path / 'src', tmp_path / 'out', LesionSettings('pairs'), overview=False) == 0
    printed = capsys.readouterr().out
    assert 'WARNING: ' in printed and 'in 1 of 2 images' in printed and 'such as images/1.png (93%)' in printed


def test_an_equal_second_mask_is_said(tmp_path, capsys):
    save(tmp_path / 'src/benign/a.png', scan())
    for name in ('a_mask', 'a_mask_1'):
        save(tmp_path / f'src/benign/{name}.png', blobs((5, 5, 9, 9)))
    assert convert_lesions(tmp_path / 'src', tmp_path / 'out', LesionSettings('busi', 2), overview=False) == 0
    assert '1 lesion in two masks of an image, such as a.png: kept once.' in capsys.readouterr().out
    assert len(json.loads((tmp_path / 'out/annotations/train.json').read_text())['annotations']) == 1


def test_images_are_copied_where_links_are_impossible(tmp_path, monkeypatch):
    root, out = make_uclm(tmp_path / 'src', {'AA': 'b'}), tmp_path / 'out'
    assert convert_lesions(root, out, LesionSettings('bus_uclm'), overview=False) == 0
    assert (out / 'images/AA_000.png').samefile(root / 'images/AA_000.png')

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, 'link', refuse)
    before = (root / 'images/AA_000.png').read_bytes()
    assert convert_lesions(root, out, LesionSettings('bus_uclm'), overview=False) == 0
    assert not (out / 'images/AA_000.png').samefile(root / 'images/AA_000.png')
    assert (out / 'images/AA_000.png').read_bytes() == before == (root / 'images/AA_000.png').read_bytes()


def test_images_are_stored_as_everyone_reads_them(tmp_path, capsys):
    root, out = tmp_path / 'src', tmp_path / 'out'
    deep = np.random.default_rng(0).integers(0, 4096, (30, 40), dtype=np.uint16)
    plain = scan(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / 'images').mkdir(parents=True)
    Image.fromarray(deep).save(root / 'images' / 'a.tif')
    Image.fromarray(plain).save(root / 'images' / 'b.tif', exif=exif)
    Image.fromarray(plain).save(root / 'images' / 'c.png')
    pages = [Image.fromarray(plain), Image.fromarray(plain)]
    pages[0].save(root / 'images' / 'd.tif', save_all=True, append_images=pages[1:])
    for name, size in (('a', (30, 40)), ('b', (40, 30)), ('c', (30, 40)), ('d', (30, 40))):
        save(root / 'masks' / f'{name}.png', blobs((5, 5, 8, 8), size=size))
    assert convert_lesions(root, out, LesionSettings('pairs')) == 0
    assert reasons(out) == {'images/d.tif': 'it has several pages: save the one that its mask is for'}
    assert '2 images written as PNG' in capsys.readouterr().out
    entries = {entry['file_name']: entry for entry in load(out / 'annotations' / 'train.json', capsys).imgs.values()}
    scaled = np.rint((deep - float(deep.min())) / float(np.ptp(deep)) * 255)
    for name, expected in (('a.png', scaled), ('b.png', np.rot90(plain, -1)), ('c.png', plain)):
        np.testing.assert_array_equal(cv2.imread(str(out / 'images' / name))[..., 1], expected)
        assert (entries[name]['height'], entries[name]['width']) == expected.shape
    assert (out / 'images' / 'c.png').read_bytes() == (root / 'images' / 'c.png').read_bytes()
    assert len(entries) == 3


def test_label_of_the_index_against_the_mask(tmp_path, capsys):
    root = make_uclm(tmp_path / 'src', {'AA': 'bm'})
    (root / 'index.csv').write_text('path,label,patient_id\nimages/AA_000.png,benign,1\nimages/AA_001.png,benign,2\n')
    assert convert_lesions(root, tmp_path / 'out', LesionSettings('bus_uclm', 2)) == 0
    printed = capsys.readouterr().out
    assert 'AA_001.png is labelled benign, but its mask is malignant' in printed and 'AA_000.png is' not in printed


def test_reached_number_is_said(tmp_path, capsys):
    root = make_uclm(tmp_path / 'src', {'AA': 'bbbb', 'BB': 'bbbb', 'CC': 'bbbb'})
    assert convert_lesions(root, tmp_path / 'out', LesionSettings('bus_uclm', val=5), overview=False) == 0
    assert 'Validation has 4 images instead of 5' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (LesionSettings('bus_uclm', val=12), '12 of 12 images'),
        (LesionSettings('bus_uclm', folds=7), r'6 patients with these classes cannot fill 7 folds'),
        (LesionSettings('pairs', classes=2), 'pairs have one class: use --classes 1'),
        (LesionSettings('busi'), r'is not a busi folder: expected .+; found images/, masks/'),
    ],
)
def test_wrong_requests(tmp_path, settings, message):
    root = make_uclm(tmp_path / 'src', PATIENTS)
    with pytest.raises(SourceError, match=message):
        convert_lesions(root, tmp_path / 'out', settings)


def test_out_is_not_the_source(tmp_path):
    root = make_uclm(tmp_path / 'src', PATIENTS)
    with pytest.raises(SourceError, match=r'is the source itself'):
        convert_lesions(root, root / '../src', LesionSettings('bus_uclm'))


def test_names_never_clash(tmp_path):
    paths = [tmp_path / name for name in ('a/x.png', 'b/X.png', 'c/a_x.png', 'c/y.png')]
    names = unique_names(paths)
    assert names == ['a_x.png', 'b_X.png', '_a_x.png', 'y.png']
    assert len({name.casefold() for name in names}) == 4


@pytest.mark.slow
def test_bus_uclm(real_data, tmp_path, capsys):
    root = real_data / 'bus_uclm'
    assert convert_lesions(root, tmp_path, LesionSettings('bus_uclm', 2, val=20), overview=False) == 0
    files = [load(tmp_path / f'annotations/{part}.json', capsys) for part in ('train', 'val')]
    assert [len(coco.dataset['images']) for coco in files] == [80, 20]
    patients = [{image['patient_id'] for image in coco.dataset['images']} for coco in files]
    assert not patients[0] & patients[1] and len(patients[0] | patients[1]) == 13
    for coco in files:
        for image in coco.dataset['images']:
            pixels = np.asarray(Image.open(root / 'masks' / image['file_name']))
            for category, channel in ((1, 1), (2, 0)):
                masks = [coco.annToMask(a) for a in coco.imgToAnns[image['id']] if a['category_id'] == category]
                union = np.sum(masks, axis=0) if masks else np.zeros(pixels.shape[:2])
                np.testing.assert_array_equal(union, pixels[..., channel] > 0)


def test_a_link_into_the_source_does_not_cost_an_image(tmp_path):
    root, out = make_uclm(tmp_path / 'src', PATIENTS), tmp_path / 'out'
    before = sorted((path.name, path.read_bytes()) for path in (root / 'images').iterdir())
    out.mkdir()
    (out / 'images').symlink_to(root / 'images')
    with pytest.raises(FolderInUseError, match='out/images is a link'):
        convert_lesions(root, out, LesionSettings('bus_uclm'), overview=False)
    assert sorted((path.name, path.read_bytes()) for path in (root / 'images').iterdir()) == before
