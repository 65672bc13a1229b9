import csv
import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from media_clips import draw, write_frames
from PIL import Image
from tool_module import load_tool

from uscl.core.digest import file_digest
from uscl.data.png_frames import write_png
from uscl.data.video_folder import VideoFolder
from uscl.stats.predictions import Predictions
from uscl_plugin.evaluation.classifier import load_classifier
from uscl_plugin.evaluation.finetuning import finetune_fold
from uscl_plugin.evaluation.training_features import as_plain


@pytest.fixture(scope='module')
def predict(root):
    module = load_tool('tools/predict.py')
    return lambda *args: module.main([str(arg) for arg in args])


@pytest.fixture(scope='module')
def kept():
    """What the first test trained, for the others."""
    return {}


@pytest.fixture
def trained(fold_cfg, tmp_path, kept):
    """A classifier of `patients` and what it predicted for the test videos."""
    path = tmp_path / 'run' / 'model.pth'
    if not kept:
        outcome = finetune_fold(fold_cfg('linear'), path.parent)
        kept.update(model=path.read_bytes(), predicted=outcome.predictions['inner-val'].by_video())
    else:
        path.parent.mkdir()
        path.write_bytes(kept['model'])
    return path, kept['predicted']


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
    assert f' {len(load_classifier(path).prepare(clip).frames)} ' in shown.out
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
    clip = classifier.prepare(tmp_path / 'red.png')
    np.testing.assert_array_equal(clip.frames, [red])
    assert clip.times is None
    inputs = torch.full((1, 3, 32, 32), (0 - 127.5) / 63.75)
    inputs[:, 0] = (200 - 127.5) / 63.75
    with torch.inference_mode():
        wanted = classifier.model(inputs).softmax(dim=1).numpy()
    np.testing.assert_allclose(classifier.run(clip.pixels)[0], wanted, atol=1e-5)


@pytest.mark.parametrize('size', [(256, 341), (341, 256)])
def test_frames_are_resized_as_by_pillow(trained, size):
    classifier = load_classifier(trained[0])
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    seen = []
    handle = classifier.model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    classifier.run(classifier.resize([frame]))
    handle.remove()
    expected = np.asarray(Image.fromarray(frame).resize((classifier.size,) * 2, Image.Resampling.BILINEAR))
    levels = seen[0][0].cpu().permute(1, 2, 0) * 63.75 + 127.5
    np.testing.assert_allclose(levels, expected, atol=1)


def test_a_backbone_is_no_classifier(predict, trained, tmp_path, capsys):
    checkpoint = torch.load(trained[0], weights_only=True)
    backbone = {name: value for name, value in checkpoint['state_dict'].items() if name.startswith('backbone.')}
    torch.save({'state_dict': backbone}, tmp_path / 'backbone.pth')
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
    checkpoint = torch.load(trained[0], weights_only=True)
    checkpoint['meta']['cfg'] = checkpoint['meta']['cfg'].replace("'AntialiasedResize'", "'Resize'")
    torch.save(checkpoint, tmp_path / 'resized.pth')
    assert predict(tmp_path / 'resized.pth', 'x.mp4') == 1
    assert re.search(r'resized.pth .*Resize', capsys.readouterr().err)
    checkpoint = torch.load(trained[0], weights_only=True)
    checkpoint['meta']['dataset_meta']['classes'] = ['a', 'b']
    torch.save(checkpoint, tmp_path / 'named.pth')
    assert predict(tmp_path / 'named.pth', 'x.mp4') == 1
    assert re.search(r'named.pth .*2 class names for 3', capsys.readouterr().err)
    assert predict(tmp_path / 'none.pth', 'x.mp4') == 1
    assert 'none.pth does not exist' in capsys.readouterr().err


def test_predictions_are_plain_files(tmp_path):
    """What evaluations keep loads without pickle."""
    names = np.array(['v'])
    Predictions(np.array([[0.3, 0.7]]), np.array([1]), names, names, names).save(tmp_path / 'p.npz')
    with np.load(tmp_path / 'p.npz', allow_pickle=False) as arrays:
        assert arrays['probabilities'].tolist() == [[0.3, 0.7]]


def test_a_planted_command_does_not_run(predict, trained, tmp_path, capsys, monkeypatch):
    """In the network, in what it is trained with, and in the pipeline; the clean checkpoint works."""
    monkeypatch.chdir(tmp_path)
    clip = tmp_path / 'a.png'
    write_png(clip, draw(3))
    assert predict(trained[0], clip) == 0
    for place in ("'ResNet'", "'GlobalAveragePooling'", "'LinearClsHead'", "'AntialiasedResize'", "'ImageClassifier'"):
        for plant in ("'os.system', command='touch planted'", '\'builtins.eval\', source=\'open("planted", "w")\''):
            checkpoint = torch.load(trained[0], weights_only=True)
            assert place in checkpoint['meta']['cfg']
            text = checkpoint['meta']['cfg'].replace(place, plant) + "\ncustom_imports = dict(imports=['evil'])\n"
            checkpoint['meta']['cfg'] = text
            torch.save(checkpoint, tmp_path / 'evil.pth')
            (tmp_path / 'evil.py').write_text('open("planted", "w")')
            capsys.readouterr()
            assert predict(tmp_path / 'evil.pth', clip) == 1
            assert 'evil.pth' in capsys.readouterr().err
            assert not (tmp_path / 'planted').exists()


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
    clip = classifier.prepare(tmp_path / 'a.mkv')
    np.testing.assert_array_equal(np.stack(clip.frames)[..., 0], np.stack(expected))
    assert clip.times == pytest.approx([k / 5 for k in range(10)])
    assert predict(path, tmp_path / 'a.mkv', '--json') == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row['frames'] == 10
    assert classifier.predict(clip) == row
    mean = classifier.run(clip.pixels)[0].mean(axis=0)
    assert list(row['probabilities'].values()) == pytest.approx(mean.tolist())
    assert predict(path, tmp_path / 'a.mkv', '--json', '--fps', '1', '--min-frames', '1') == 0
    assert json.loads(capsys.readouterr().out)[0]['frames'] == 2  # what is asked for goes first


def test_static_pixels_are_blanked_as_in_the_training_data(with_settings, tmp_path):
    frames = np.stack([draw(40 * k + 3, 64, False) for k in range(12)])
    frames[:, 5:20, 5:30] = 250
    write_frames(tmp_path / 'a.mkv', frames, 5)
    plain, blanked = (
        load_classifier(with_settings(size=64, mask_tolerance=tolerance)).prepare(tmp_path / 'a.mkv').frames
        for tolerance in (None, 8)
    )
    assert plain[0][8:18, 8:28].min() > 240 and blanked[0][8:18, 8:28].max() == 0
    assert blanked[0][40:].max() > 50


@pytest.mark.parametrize('changes', [{'fps': -1}, {'size': 'large'}, {'color': 'blue'}, {'min_frames': 0}])
def test_settings_that_make_no_sense_are_refused(predict, with_settings, capsys, changes):
    assert predict(with_settings(**changes), 'x.mp4') == 1
    error = capsys.readouterr().err
    assert 'other.pth' in error and next(iter(changes)) in error


def test_a_folder_gives_its_clips(predict, trained, tmp_path, capsys):
    root = tmp_path / 'clips'
    for folder in ('a/one', 'b'):
        (root / folder).mkdir(parents=True)
        for k in range(3):
            Image.fromarray(draw(k)).save(root / folder / f'{k}.png')
    write_frames(root / 'a' / 'two.mkv', np.stack([draw(k) for k in range(9)]), 3)
    (root / 'a' / 'archive.zip').write_bytes(b'x')
    (root / 'bad.mp4').write_bytes(b'x')
    assert predict(trained[0], root, '--json') == 0
    shown = capsys.readouterr()
    rows = json.loads(shown.out)
    assert [row['clip'] for row in rows] == [str(root / name) for name in ('a/one', 'a/two.mkv', 'b')]
    assert [row['frames'] for row in rows] == [3, 9, 3]
    assert str(root / 'a' / 'archive.zip') in shown.err and f'skipped: {root / "bad.mp4"}' in shown.err
    assert predict(trained[0], *(row['clip'] for row in rows), '--json') == 0
    assert json.loads(capsys.readouterr().out) == rows
    assert predict(trained[0], root / 'b', '--stills', '--json') == 0
    assert [row['frames'] for row in json.loads(capsys.readouterr().out)] == [1, 1, 1]


def test_tables(predict, trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('=1+1.png', '[red]b\x1b.png'):
        Image.fromarray(draw(7)).save(name)
    names = sorted(path.name for path in tmp_path.glob('*.png'))
    assert predict(trained[0], *names, 'none.png', '--csv', 'out/table.csv') == 0
    shown = capsys.readouterr().out
    assert '[red]b\\x1b.png' in shown and '\x1b' not in shown and 'agreeing' in shown
    assert predict(trained[0], *names, '--json') == 0
    rows = json.loads(capsys.readouterr().out)
    with Path('out', 'table.csv').open(newline='') as file:
        header, *lines = csv.reader(file)
    assert header == ['clip', 'predicted', 'a', 'b', 'c', 'frames', 'agreement', 'distance', 'unusual']
    assert lines[0][0] == "'=1+1.png"
    for line, row in zip(lines, rows, strict=True):
        assert line[1] == row['predicted'] and line[5] == '1'
        assert [float(cell) for cell in line[2:5]] == list(row['probabilities'].values())
        assert float(line[7]) == row['distance'] and line[8] == str(row['unusual']).lower()


def test_what_is_far_from_the_training_data_is_said(predict, trained, patients, tmp_path, capsys):
    classifier = load_classifier(trained[0])
    known = classifier.training
    assert known.held_out == 12 and len(known.features) == 6  # all but the training videos of the fold
    frames = {video['video_id']: video['frames'] for video in VideoFolder(patients)}
    for name, pictures in {'known': next(iter(frames.values())), 'noise': [draw(9, 64, True)]}.items():
        (tmp_path / name).mkdir()
        for k, frame in enumerate(pictures):
            write_png(tmp_path / name / f'{k}.png', frame)
    assert predict(trained[0], tmp_path / 'known', tmp_path / 'noise', '--json') == 0
    near, far = json.loads(capsys.readouterr().out)
    assert far['distance'] > near['distance'] and far['unusual'] is (far['distance'] > known.limit)
    checkpoint = torch.load(trained[0], weights_only=True)

    def changed(features):
        torch.save(checkpoint | {'training_features': features}, tmp_path / 'changed.pth')
        assert predict(tmp_path / 'changed.pth', tmp_path / 'noise', '--json') == 0
        shown = capsys.readouterr()
        return json.loads(shown.out)[0], shown.err

    row, said = changed(as_plain(known) | {'limit': far['distance'] - 0.01})
    assert row['unusual'] is True and '1 of 1 clips are far from the training data' in said
    assert predict(tmp_path / 'changed.pth', tmp_path / 'noise') == 0
    table = capsys.readouterr().out
    assert 'far from the training data' in table and f' {row["predicted"]}? ' in table
    row, said = changed(as_plain(known) | {'limit': None})
    assert row['unusual'] is None and row['distance'] == far['distance'] and 'too few' in said
    row, said = changed(None)
    assert row['unusual'] is None and row['distance'] is None and 'does not know its training data' in said


def test_a_classifier_has_no_overlays(predict, trained, capsys):
    assert predict(trained[0], 'x.mp4', '--overlay', 'out') == 1
    assert 'uscl cam' in capsys.readouterr().err


def test_dicom_clips_get_reports(predict, trained, tmp_path, capsys):
    pytest.importorskip('highdicom')
    import pydicom
    from dicom_files import SECRETS, SOP_INSTANCE, write_dicom

    clip = write_dicom(tmp_path / 'a.dcm', np.stack([draw(3, 64), draw(90, 64)])[..., 0], secret=True, FrameTime='400')
    Image.fromarray(draw(7)).save(tmp_path / 'b.png')
    assert predict(trained[0], clip, tmp_path / 'b.png', '--json', '--dicom', tmp_path / 'out') == 0
    shown = capsys.readouterr()
    rows = json.loads(shown.out)
    assert [row['clip'] for row in rows] == [str(clip), str(tmp_path / 'b.png')]  # what cannot be filed is still said
    (said,) = [line for line in shown.err.splitlines() if 'b.png' in line]
    assert 'not a DICOM file' in said
    (path,) = (tmp_path / 'out').iterdir()
    report = pydicom.dcmread(path)
    text = report.to_json()
    assert SOP_INSTANCE in text and file_digest(trained[0]) in text and 'not a medical device' in text
    assert report.StudyInstanceUID == SECRETS['StudyInstanceUID']
    for name, share in rows[0]['probabilities'].items():
        assert f'Probability of {name}' in text and str(share)[:8] in text
    assert predict(trained[0], tmp_path / 'b.png', '--dicom', tmp_path / 'none') == 1
    assert not (tmp_path / 'none').exists()


def test_a_watched_folder(predict, trained, tmp_path, capsys):
    """New files are predicted as they come, until SIGTERM; another start finds nothing to do."""
    pytest.importorskip('highdicom')
    from dicom_files import write_dicom

    source, out = tmp_path / 'in', tmp_path / 'out'
    source.mkdir()
    journal = out / 'journal.jsonl'
    write_dicom(source / 'a.dcm', draw(3, 64)[None, ..., 0], secret=True)

    def watch(stop):
        def wait():
            deadline = time.monotonic() + 60
            while not stop() and time.monotonic() < deadline and not ended.is_set():
                time.sleep(0.02)
            if not ended.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

        ended = threading.Event()
        thread = threading.Thread(target=wait)
        thread.start()
        try:
            assert predict(trained[0], '--watch', source, '--dicom', out, '--settle', 0.1) == 0
        finally:
            ended.set()
            thread.join()
        return capsys.readouterr().err

    def lines():
        return len(journal.read_text().splitlines()) if journal.exists() else 0

    def come():
        if lines() == 2 and not (source / 'b.png').exists():
            (source / 'cut.dcm').write_bytes((source / 'a.dcm').read_bytes()[:-9])
            Image.fromarray(draw(7)).save(source / 'b.png')
        return lines() == 4

    said = watch(come)
    assert '1 written, 0 copy, 2 rejected, 0 waiting' in said
    assert 'cut.dcm: moved to' in said and 'b.png: moved to' in said and 'not a DICOM file' in said
    assert sorted(path.name for path in source.iterdir()) == ['a.dcm']
    names = ['b.png', 'b.png.reason.txt', 'cut.dcm', 'cut.dcm.reason.txt']
    assert sorted(path.name for path in (out / 'rejected').iterdir()) == names
    assert len(list(out.glob('*.dcm'))) == 1 and not (out / '.uscl.lock').exists()
    since = []

    def looked():  # for a second
        if not since and (out / '.uscl.lock').exists():
            since.append(time.monotonic())
        return since and time.monotonic() > since[0] + 1

    assert '0 written, 0 copy, 0 rejected, 0 waiting' in watch(looked)
    assert lines() == 4


def test_dicom_files_need_highdicom(predict, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'highdicom', None)
    assert predict('model.pth', 'x.dcm', '--dicom', 'out') == 1
    assert 'uscl_plugin[dicom-out]' in capsys.readouterr().err


@pytest.mark.parametrize(
    'arguments', [[], ['x.dcm', '--watch', 'in'], ['--watch', 'in'], ['--watch', 'in', '--dicom', 'out', '--json']]
)
def test_clips_or_a_folder_to_watch(predict, arguments, capsys):
    with pytest.raises(SystemExit, match='2'):
        predict('model.pth', *arguments)
    assert '--watch' in capsys.readouterr().err
