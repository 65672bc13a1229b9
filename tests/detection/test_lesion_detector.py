"""A detector from its checkpoint alone finds what MMDetection's test finds, and no command in the file runs."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch
from lesion_truth import IMAGES, write_truth
from media_clips import write_frames
from mmengine.config import Config
from pycocotools import mask as coco_mask
from tool_module import load_tool

import uscl_plugin.compat.mmcv_ops  # noqa: F401
from uscl.clips.readers import open_clip
from uscl.data.coco_file import read_coco
from uscl_plugin.detection.inference import run_detector
from uscl_plugin.detection.lesion_detector import Lesion, load_detector
from uscl_plugin.finetuning.lesion_data import read_lesions
from uscl_plugin.weights.checkpoint_error import CheckpointError


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_truth(tmp_path_factory.mktemp('lesions'))


@pytest.fixture(scope='module')
def trained(root, data, tmp_path_factory):
    """Kind → config and checkpoint of a small detector."""
    from mmdet.registry import MODELS

    found = {}
    for kind in ('faster', 'mask'):
        cfg = Config.fromfile(root / 'configs' / 'udiat_b' / f'{kind}-rcnn_r18_fpn_scratch_1xb2-30e_udiat-b.py')
        cfg.test_dataloader.dataset.data_root = str(data)
        cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
        cfg.test_dataloader.dataset.steps = dict(Resize=dict(scale=(310, 250)))
        cfg.model.backbone.update(base_channels=8, stem_channels=8)
        cfg.model.neck.in_channels = [8, 16, 32, 64]
        cfg.model.roi_head.bbox_head.fc_out_channels = 16
        cfg.model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=7)
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        if kind == 'mask':
            model.roi_head.mask_head.conv_logits.bias.data += 10  # else no pixel is in a mask
        path = tmp_path_factory.mktemp(kind) / 'a.pth'
        meta = {'cfg': cfg.pretty_text, 'dataset_meta': {'classes': ('lesion',)}}
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)
        found[kind] = cfg, path
    return found


@pytest.mark.parametrize('kind', ['faster', 'mask'])
def test_findings_are_those_of_mmdetections_test(trained, data, kind):
    cfg, path = trained[kind]
    expected = run_detector(cfg, path)
    detector = load_detector(path)
    assert (detector.classes, detector.scale, detector.keep_ratio) == (['lesion'], (310, 250), True)
    for image_id, name in zip(expected.image_ids, IMAGES, strict=True):
        (frame,) = open_clip(data / 'images' / name)
        found = detector.find(frame)
        wanted = sorted((r for r in expected.results if r['image_id'] == image_id), key=lambda row: -row['score'])
        assert len(found) == len(wanted) == 7
        for ours, theirs in zip(found, wanted, strict=True):
            assert ours.kind == 'lesion' and ours.score == pytest.approx(theirs['score'], abs=1e-5)
            np.testing.assert_allclose(ours.box, theirs['bbox'], atol=1e-3)
            assert (ours.mask is None) == (kind == 'faster')
            if kind == 'mask':
                masks = (coco_mask.decode(mask).astype(int) for mask in (ours.mask, theirs['segmentation']))
                assert np.abs(np.subtract(*masks)).mean() < 1e-3
        least = np.median([each.score for each in found])
        assert detector.find(frame, least) == [each for each in found if each.score >= least]


def test_outlines_are_of_the_mask():
    mask = np.zeros((60, 80), np.uint8)
    mask[10:31, 20:41] = 1
    mask[40:50, 60:70] = 1
    filled = mask.copy()
    mask[15:20, 25:30] = 0  # a hole
    outlines = Lesion('x', 1.0, [0, 0, 1, 1], coco_mask.encode(np.asfortranarray(mask))).outlines
    again = cv2.fillPoly(np.zeros_like(mask), [np.array(outline) for outline in outlines], 1)
    assert len(outlines) == 2 and json.dumps(outlines)
    np.testing.assert_array_equal(again, filled)
    assert Lesion('x', 1.0, [0, 0, 1, 1], None).outlines is None


def run(capsys, *arguments):
    capsys.readouterr()
    assert load_tool('tools/predict.py').main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr()


def test_the_tool_on_a_clip_and_images(trained, data, tmp_path, capsys):
    _, path = trained['mask']
    rng = np.random.default_rng(0)
    write_frames(tmp_path / 'a.mkv', rng.integers(60, 160, (6, 80, 96, 3), dtype=np.uint8), 2)
    (frame,) = open_clip(data / 'images' / 'a.png')
    least = load_detector(path).find(frame)[3].score
    arguments = (path, tmp_path / 'a.mkv', data / 'images', '--stills', '--score', least)
    arguments += ('--overlay', tmp_path / 'overlay', '--csv', tmp_path / 'a.csv')
    rows = json.loads(run(capsys, *arguments, '--json').out)
    assert [row['frames'] for row in rows] == [6] + [1] * 6
    assert rows[0]['clip'] == str(tmp_path / 'a.mkv') and rows[1]['clip'] == str(data / 'images' / 'a.png')
    found = [each for row in rows for each in row['detections']]
    assert found and all(each['score'] >= least and each['class'] == 'lesion' for each in found)
    assert all(each['time'] == (each['frame'] - 1) / 2 for each in rows[0]['detections'])
    assert all(each['time'] is None and each['outlines'] for each in rows[1]['detections'])
    pictures = {path.name for path in (tmp_path / 'overlay').iterdir()}
    assert pictures == {f'a.mkv_{k:04d}.png' for k in range(1, 7)} | {f'{name}_0001.png' for name in IMAGES}
    picture = cv2.imread(str(tmp_path / 'overlay' / 'a.png_0001.png')).astype(int)
    assert picture.shape == (400, 480, 3)  # twice the size
    orange = (np.abs(picture - [40, 140, 255]).sum(axis=2) < 30).nonzero()
    boxes = np.array([each['box'] for each in rows[1]['detections']])
    edges = [boxes[:, 0].min(), *(boxes[:, :2] + boxes[:, 2:]).max(axis=0)]
    drawn = [side / 2 for side in (orange[1].min(), orange[1].max(), orange[0].max())]  # captions are above
    np.testing.assert_allclose(drawn, edges, atol=2)
    with (tmp_path / 'a.csv').open(newline='') as file:
        header, *lines = csv.reader(file)
    assert len(lines) == sum(max(len(row['detections']), 1) for row in rows)
    best = rows[1]['detections'][0]
    line = next(line for line in lines if line[0] == rows[1]['clip'])
    assert dict(zip(header, line, strict=True)) | {'clip': ''} == {
        'clip': '', 'frames': '1', 'frame': '1', 'time': '', 'class': 'lesion', 'score': str(best['score']),
        **{key: str(side) for key, side in zip(('x', 'y', 'width', 'height'), best['box'], strict=True)},
    }  # fmt: skip
    table = run(capsys, path, tmp_path / 'a.mkv', '--score', 1).out
    assert 'a.mkv' in table and 'none' in table


def test_dicom_clips_get_segmentations(trained, tmp_path, capsys):
    """The masks lie in the frames of the file in which they were found, though not every frame was used."""
    pytest.importorskip('highdicom')
    import pydicom
    from dicom_files import write_dicom

    frames = np.random.default_rng(0).integers(0, 256, (5, 50, 60), dtype=np.uint8)
    clip = write_dicom(tmp_path / 'a.dcm', frames, secret=True, FrameTime='250')
    arguments = (trained['mask'][1], clip, '--fps', '2', '--min-frames', '1', '--score', '0', '--json')
    (row,) = json.loads(run(capsys, *arguments, '--dicom', tmp_path / 'out').out)
    assert {each['source_frame'] for each in row['detections']} == {1, 3, 5}
    assert all(each['time'] == (each['source_frame'] - 1) / 4 for each in row['detections'])
    (path,) = (tmp_path / 'out').iterdir()
    made = pydicom.dcmread(path)
    detector = load_detector(trained['mask'][1])
    for group, pixels in zip(made.PerFrameFunctionalGroupsSequence, made.pixel_array, strict=True):
        number = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        found = detector.find(np.repeat(frames[number - 1][..., None], 3, axis=2))
        np.testing.assert_array_equal(pixels, coco_mask.decode([each.mask for each in found]).max(axis=2))
    assert 'highest score' in made.SegmentSequence[0].SegmentDescription


def test_clips_of_one_name_do_not_share_overlays(trained, data, tmp_path, capsys):
    (tmp_path / 'x').mkdir()
    picture = (data / 'images' / 'a.png').read_bytes()
    for name in ('a.png', 'x/a.png', 'x/=A.png'):
        (tmp_path / name).write_bytes(picture)
    given = (tmp_path / 'a.png', tmp_path / 'x' / 'a.png', tmp_path / 'x')
    out = tmp_path / 'out'
    run(capsys, trained['faster'][1], *given, '--stills', '--overlay', out, '--csv', tmp_path / 'a.csv', '--score', 1)
    assert len(list(out.iterdir())) == 4
    assert len((tmp_path / 'a.csv').read_text().splitlines()) == 5  # a row for each clip without a finding


def test_findings_to_correct_elsewhere(trained, data, tmp_path, capsys):
    """They pass the checks of a data set of lesions, as found and as an annotation tool gives them back."""
    frames = np.random.default_rng(0).integers(0, 255, (3, 60, 80, 3), np.uint8)
    write_frames(tmp_path / 'a.mkv', frames, 2)
    arguments = (trained['mask'][1], tmp_path / 'a.mkv', data / 'images', '--stills', '--score', 0)
    rows = json.loads(run(capsys, *arguments, '--coco', tmp_path / 'out', '--json').out)
    path = tmp_path / 'out' / 'annotations' / 'findings.json'
    content = read_coco(path, tmp_path / 'out' / 'images', needs_masks=True)
    assert [image['file_name'] for image in content['images'][:4]] == [f'a.mkv_{k:04d}.png' for k in (1, 2, 3)] + [
        f'{min(IMAGES)}_0001.png'
    ]
    assert [image['patient_id'] for image in content['images'][2:4]] == ['clip a.mkv', f'clip {min(IMAGES)}']
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'out/images/a.mkv_0002.png'))[..., ::-1], frames[1])
    found = [each for row in rows for each in row['detections'] if min(each['box'][2:]) >= 1]
    assert [entry['score'] for entry in content['annotations']] == [round(each['score'], 4) for each in found]
    np.testing.assert_allclose([e['bbox'] for e in content['annotations']], [e['box'] for e in found], atol=0.006)
    for entry, each in zip(content['annotations'], found, strict=True):
        image = content['images'][entry['image_id'] - 1]
        areas = [
            coco_mask.area(coco_mask.merge(coco_mask.frPyObjects(polygons, image['height'], image['width'])))
            for polygons in (entry['segmentation'], [np.ravel(outline).tolist() for outline in each['outlines']])
        ]
        assert areas[0] == areas[1] > 0
    code = load_tool('tools/predict.py').main([*map(str, arguments), '--coco', str(tmp_path / 'out')])
    assert code == 1 and f'{path.parent} holds annotations' in capsys.readouterr().err

    content['annotations'] = [
        {key: entry[key] for key in ('id', 'image_id', 'category_id', 'segmentation', 'bbox', 'area', 'iscrowd')}
        | {'attributes': {'occluded': False}}
        for entry in content['annotations'][1:]
    ]
    path.write_text(json.dumps(content))
    lesions = read_lesions(tmp_path / 'out', 0.3, 0)
    assert lesions.has_masks and len(lesions.annotations) == len(found) - 1
    of_clip = [image['file_name'] in lesions.held_back for image in content['images'][:3]]
    assert len(set(of_clip)) == 1
    content['annotations'][0]['bbox'] = [10, 10, 1000, 1000]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'findings\.json'):
        read_lesions(tmp_path / 'out', 0.3, 0)


def test_boxes_to_correct_elsewhere(trained, data, tmp_path, capsys):
    arguments = (trained['faster'][1], data / 'images', '--stills', '--score', 0, '--coco', tmp_path / 'out')
    assert 'findings.json: correct it' in run(capsys, *arguments).err
    content = read_coco(tmp_path / 'out/annotations/findings.json', tmp_path / 'out/images')
    assert content['annotations'] and not any('segmentation' in entry for entry in content['annotations'])
    assert content['info']['description'].startswith('Found by a.pth; not corrected')


PLANTS = ("'os.system', command='touch planted'", "'builtins.exec', code='open(1)'", "\"open('planted', 'w')\"")
PLACES = ("'ResNet'", "'FPN'", "'RPNHead'", "'DetDataPreprocessor'", "'Resize'", "'nms'", "'RoIAlign'", "'MaskRCNN'")


@pytest.mark.parametrize('place', PLACES)
def test_a_planted_command_does_not_run(trained, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    checkpoint = torch.load(trained['mask'][1], weights_only=True)
    text = checkpoint['meta']['cfg']
    for plant in PLANTS:
        checkpoint['meta']['cfg'] = text.replace(f'type={place}', f'type={plant}')
        assert checkpoint['meta']['cfg'] != text
        torch.save(checkpoint, tmp_path / 'evil.pth')
        with pytest.raises(CheckpointError, match=r'evil\.pth'):
            load_detector(tmp_path / 'evil.pth')
        assert not (tmp_path / 'planted').exists()


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (lambda c: c['meta'].pop('dataset_meta'), 'no detector with class names'),
        (lambda c: c['meta'].update(dataset_meta={'classes': ('a', 'b')}), '2 classes'),
        (lambda c: c['state_dict'].pop('neck.fpn_convs.0.conv.bias'), '1 missing'),
        (lambda c: c['meta'].update(cfg=c['meta']['cfg'].replace("type='Resize'", "type='Pad'")), 'Resize'),
        (lambda c: c['meta'].update(cfg=c['meta']['cfg'].replace('keep_ratio=True', "backend='pillow'")), 'Resize'),
    ],
)
def test_other_checkpoints_are_refused(trained, tmp_path, change, text):
    checkpoint = torch.load(trained['faster'][1], weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match=rf'other\.pth.*{text}'):
        load_detector(tmp_path / 'other.pth')


def test_a_frame_size_is_refused(trained, capsys):
    assert load_tool('tools/predict.py').main([str(trained['faster'][1]), 'x.png', '--frame-size', '64']) == 1
    assert '--frame-size' in capsys.readouterr().err
