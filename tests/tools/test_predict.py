import json
import re

import cv2
import numpy as np
import pytest
import torch
from media_clips import draw, write_frames
from PIL import Image
from tool_module import load_tool

from uscl.data.png_frames import write_png
from uscl.data.video_folder import VideoFolder
from uscl.stats.predictions import Predictions
from uscl_plugin.evaluation.classifier import load_classifier, read_clip
from uscl_plugin.evaluation.finetuning import finetune_fold


@pytest.fixture(scope='module')
def predict(root):
    module = load_tool('tools/predict.py')
    return lambda *args: module.main([str(arg) for arg in args])


@pytest.fixture
def trained(fold_cfg, tmp_path):
    """A classifier of `patients` and what it predicted for the test videos."""
    outcome = finetune_fold(fold_cfg('linear'), tmp_path / 'run')
    return tmp_path / 'run' / 'model.pth', outcome.predictions['inner-val'].by_video()


def test_a_folder_of_frames_gets_what_the_evaluation_gave_it(predict, trained, patients, tmp_path, capsys):
    path, wanted = trained
    stored = {video.pop('video_id'): video['frames'] for video in map(dict, VideoFolder(patients))}
    folders = [tmp_path / str(video_id).replace('/', '_') for video_id in wanted.videos]
    for folder, video_id in zip(folders, wanted.videos, strict=True):
        folder.mkdir()
        for k, frame in enumerate(stored[video_id]):
            write_png(folder / f'{k}.png', frame)
    assert predict(path, *folders, '--json') == 0
    rows = json.loads(capsys.readouterr().out)
    for row, folder, probabilities in zip(rows, folders, wanted.probabilities, strict=True):
        assert row['clip'] == str(folder)
        np.testing.assert_allclose(list(row['probabilities'].values()), probabilities, atol=1e-5)
        assert list(row['probabilities']) == ['a', 'b', 'c']
        assert row['predicted'] == 'abc'[probabilities.argmax()]
        assert row['frames'] == len(list(folder.glob('*.png')))


def test_a_real_clip_and_a_table(predict, trained, root, tmp_path, capsys):
    path, _ = trained
    clip = root / 'demo' / 'clips' / 'Pneu_prospective_file3.mp4'
    (tmp_path / 'broken.mp4').write_bytes(b'no clip')
    (tmp_path / 'broken.png').write_bytes(b'no image')
    assert predict(path, clip, tmp_path / 'broken.mp4', tmp_path / 'broken.png', tmp_path / 'none.gif') == 0
    shown = capsys.readouterr()
    assert 'Pneu_prospective_file3.mp4' in shown.out
    assert f'{len(read_clip(clip))}' in shown.out
    assert 'broken.mp4: not a video that FFmpeg can read' in shown.err
    assert 'broken.png: it cannot be read' in shown.err
    assert 'none.gif: it does not exist: check the path' in shown.err
    assert predict(path, tmp_path / 'broken.mp4') == 1


@pytest.mark.parametrize('color', [False, True])
def test_every_kind_of_clip_gets_the_same_probabilities(predict, trained, tmp_path, capsys, color):
    pytest.importorskip('pydicom')
    from dicom_files import write_dicom

    frames = np.stack([draw(40 * k + 3, 320, color) for k in range(5)])  # larger than what is stored
    stored = frames if color else frames[..., 0]
    write_frames(tmp_path / 'a.mkv', frames, 5)
    write_dicom(tmp_path / 'a.dcm', stored, 'RGB' if color else 'MONOCHROME2', FrameTime='200')
    for folder in ('all', 'sampled'):
        (tmp_path / folder).mkdir()
    for k, frame in enumerate(stored):
        Image.fromarray(frame).save(tmp_path / 'all' / f'{k}.png')
        if k % 2 == 0:
            Image.fromarray(frame).save(tmp_path / 'sampled' / f'{k}.png')

    first, *rest = map(Image.fromarray, stored)
    first.save(tmp_path / 'a.tif', save_all=True, append_images=rest)

    def rows(*names, fps):
        capsys.readouterr()
        assert predict(trained[0], *(tmp_path / name for name in names), '--json', '--fps', fps, '--min-frames', 1) == 0
        return json.loads(capsys.readouterr().out)

    every = rows('a.mkv', 'a.dcm', 'all', 'a.tif', fps=10)
    some = rows('a.mkv', 'a.dcm', 'sampled', fps=2.5)
    assert [row['frames'] for row in every + some] == [5, 5, 5, 5, 3, 3, 3]
    for group in (every, some):
        assert all(row['probabilities'] == group[0]['probabilities'] for row in group)
    single = rows(*(f'all/{k}.png' for k in range(5)), fps=1)
    for name in 'abc':
        mean = np.mean([row['probabilities'][name] for row in single])
        assert mean == pytest.approx(every[0]['probabilities'][name], abs=1e-5)
    assert np.ptp([row['probabilities']['a'] for row in single]) > 1e-4


def test_colour_reaches_the_network_in_its_order(trained, tmp_path):
    """A red image is read as red: the result is that of the network on hand-made input."""
    classifier = load_classifier(trained[0])
    red = np.zeros((40, 50, 3), np.uint8)
    red[..., 0] = 200
    cv2.imwrite(str(tmp_path / 'red.png'), red[..., ::-1])
    (frame,) = read_clip(tmp_path / 'red.png')
    np.testing.assert_array_equal(frame, red)
    inputs = torch.full((1, 3, 32, 32), (0 - 127.5) / 63.75)
    inputs[:, 0] = (200 - 127.5) / 63.75
    with torch.inference_mode():
        wanted = classifier.model(inputs).softmax(dim=1).numpy()
    np.testing.assert_allclose(classifier.probabilities([frame]), wanted, atol=1e-5)


@pytest.mark.parametrize('size', [(256, 341), (341, 256)])
def test_frames_are_resized_as_by_pillow(trained, size):
    classifier = load_classifier(trained[0])
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    seen = []
    handle = classifier.model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    classifier.probabilities([frame])
    handle.remove()
    expected = np.asarray(Image.fromarray(frame).resize((classifier.size,) * 2, Image.Resampling.BILINEAR))
    levels = seen[0][0].cpu().permute(1, 2, 0) * 63.75 + 127.5
    np.testing.assert_allclose(levels, expected, atol=1)


def test_a_backbone_is_no_classifier(predict, trained, tmp_path, capsys):
    assert predict(tmp_path / 'backbone.pth', 'x.mp4') == 1
    assert 'backbone.pth contains no classifier' in capsys.readouterr().err
    checkpoint = torch.load(trained[0], weights_only=True)
    del checkpoint['state_dict']['head.fc.bias']
    torch.save(checkpoint, tmp_path / 'cut.pth')
    assert predict(tmp_path / 'cut.pth', 'x.mp4') == 1
    assert 'cut.pth does not fit the network, 1 missing (head.fc.bias): pass a model.pth' in capsys.readouterr().err
    checkpoint['meta']['cfg'] = re.sub('(test|val)_dataloader', 'no_loader', checkpoint['meta']['cfg'])
    torch.save(checkpoint, tmp_path / 'lost.pth')
    assert predict(tmp_path / 'lost.pth', 'x.mp4') == 1
    assert re.search(r'lost.pth .*: pass a model.pth', capsys.readouterr().err)
    assert predict(tmp_path / 'none.pth', 'x.mp4') == 1
    assert 'none.pth does not exist' in capsys.readouterr().err


def test_predictions_are_plain_files(tmp_path):
    """What evaluations keep loads without pickle."""
    names = np.array(['v'])
    Predictions(np.array([[0.3, 0.7]]), np.array([1]), names, names, names).save(tmp_path / 'p.npz')
    with np.load(tmp_path / 'p.npz', allow_pickle=False) as arrays:
        assert arrays['probabilities'].tolist() == [[0.3, 0.7]]


SETTINGS = {'fps': 5.0, 'size': 32, 'color': 'gray', 'mask_tolerance': None, 'min_frames': 2, 'probe': 'convex'}


@pytest.fixture
def with_settings(trained, tmp_path):
    """The classifier with other settings of the conversion in its checkpoint."""

    def write(**changes):
        checkpoint = torch.load(trained[0], weights_only=True)
        checkpoint['meta']['uscl'] = {'settings': SETTINGS | changes}
        torch.save(checkpoint, tmp_path / 'other.pth')
        return tmp_path / 'other.pth'

    return write


def test_clips_are_prepared_as_the_training_data_were(predict, with_settings, tmp_path, capsys):
    frames = np.stack([draw(40 * k + 3, 320, True) for k in range(20)])
    write_frames(tmp_path / 'a.mkv', frames, 10)
    expected = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames[::2]]  # 5 of 10 a second, in gray
    expected = [cv2.resize(frame, (32, 32), interpolation=cv2.INTER_AREA) for frame in expected]
    classifier = load_classifier(path := with_settings())
    read = read_clip(tmp_path / 'a.mkv', classifier.settings)
    np.testing.assert_array_equal(np.stack(read)[..., 0], np.stack(expected))
    assert predict(path, tmp_path / 'a.mkv', '--json') == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row['frames'] == 10
    assert classifier.predict_clip(tmp_path / 'a.mkv') == row
    mean = classifier.probabilities(read).mean(axis=0)
    assert list(row['probabilities'].values()) == pytest.approx(mean.tolist())
    assert predict(path, tmp_path / 'a.mkv', '--json', '--fps', '1', '--min-frames', '1') == 0
    assert json.loads(capsys.readouterr().out)[0]['frames'] == 2  # what is asked for goes first


def test_static_pixels_are_blanked_as_in_the_training_data(with_settings, tmp_path):
    frames = np.stack([draw(40 * k + 3, 64, False) for k in range(12)])
    frames[:, 5:20, 5:30] = 250
    write_frames(tmp_path / 'a.mkv', frames, 5)
    plain, blanked = (
        read_clip(tmp_path / 'a.mkv', load_classifier(with_settings(size=64, mask_tolerance=tolerance)).settings)
        for tolerance in (None, 8)
    )
    assert plain[0][8:18, 8:28].min() > 240 and blanked[0][8:18, 8:28].max() == 0
    assert blanked[0][40:].max() > 50


@pytest.mark.parametrize('changes', [{'fps': -1}, {'size': 'large'}, {'color': 'blue'}, {'min_frames': 0}])
def test_settings_that_make_no_sense_are_refused(predict, with_settings, capsys, changes):
    assert predict(with_settings(**changes), 'x.mp4') == 1
    error = capsys.readouterr().err
    assert 'other.pth' in error and next(iter(changes)) in error
