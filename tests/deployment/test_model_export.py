"""A classifier as one file: the same predictions without PyTorch, in 8 bits, and what is refused."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from media_clips import draw, write_frames
from tool_module import load_tool

from uscl.clips import open_clip
from uscl.core.errors import ClipError
from uscl.inference.onnx_classifier import load_onnx_classifier, run_frames
from uscl.inference.sealed_model import seal
from uscl_plugin.deployment import int8_model, model_export
from uscl_plugin.deployment.int8_model import Agreement, compare, latencies
from uscl_plugin.deployment.model_export import export_model
from uscl_plugin.evaluation.classifier import load_classifier
from uscl_plugin.evaluation.finetuning import finetune_fold
from uscl_plugin.weights.checkpoint_error import CheckpointError

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
ROOT = Path(__file__).parents[2]
HIDDEN = ('torch', 'torchvision', 'onnx', 'mmcv', 'mmdet', 'mmengine', 'mmpretrain', 'uscl_plugin')


@pytest.fixture(scope='module')
def kept(tmp_path_factory):
    """A folder with model.pth, once it has been trained, and model.onnx."""
    return tmp_path_factory.mktemp('exported')


@pytest.fixture
def model(kept, fold_cfg):
    """model.pth of three classes, a, b, c."""
    if not (kept / 'model.pth').is_file():
        cfg = fold_cfg('linear')
        finetune_fold(cfg, kept)
    return kept / 'model.pth'


@pytest.fixture
def exported(model):
    """The same as model.onnx."""
    out = model.with_name('model.onnx')
    if not out.is_file():
        assert (
            load_tool('tools/model_converters/export_backbone.py').main([str(model), str(out), '--to', 'onnx-model'])
            == 0
        )
    return out


def predict(*args):
    return load_tool('tools/predict.py').main([str(arg) for arg in args])


def test_predictions_without_pytorch_are_the_same(model, exported, tmp_path, capsys):
    for name, color in (('grey.mkv', False), ('colour.mkv', True)):
        write_frames(tmp_path / name, np.stack([draw(40 * k + 3, 320, color) for k in range(9)]), 3)
    write_frames(tmp_path / 'small.mkv', np.stack([draw(k, 32, True) for k in range(4)]), 3)
    (tmp_path / 'broken.mp4').write_bytes(b'no clip')
    names = ['grey.mkv', 'colour.mkv', 'small.mkv', 'broken.mp4']
    capsys.readouterr()
    assert predict(model, *(tmp_path / name for name in names), '--json') == 0
    expected = json.loads(capsys.readouterr().out)
    hide = f'import sys; sys.modules.update(dict.fromkeys({HIDDEN!r}))'
    block = f'{hide}; from uscl.cli import main; sys.exit(main(sys.argv[1:]))'
    done = subprocess.run(
        [sys.executable, '-c', block, 'predict', str(exported), *names, '--json'],
        cwd=tmp_path,
        env=os.environ | {'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and 'broken.mp4' in done.stderr, done.stderr
    found = json.loads(done.stdout)
    assert [row.pop('clip') for row in found] == names[:3] and len(expected) == 3
    for row, wanted in zip(found, expected, strict=True):
        probabilities, distance = wanted.pop('probabilities'), wanted.pop('distance')
        assert row.pop('probabilities') == pytest.approx(probabilities, abs=1e-4)
        assert row.pop('distance') == pytest.approx(distance, abs=1e-4)
        del wanted['clip']
        assert row == wanted


def test_raw_frames_of_any_size_may_be_fed(model, exported, tmp_path):
    """Whoever feeds frames as a player shows them gets what `uscl predict` gets from the clip."""
    onnxruntime = pytest.importorskip('onnxruntime')
    session, classifier = onnxruntime.InferenceSession(exported), load_classifier(model)
    for size, color in ((320, False), (320, True), (50, True)):
        write_frames(tmp_path / 'a.mkv', np.stack([draw(7 * k, size, color) for k in range(3)]), 3)
        frames = np.stack(list(open_clip(tmp_path / 'a.mkv')))
        row = classifier.predict(classifier.prepare(tmp_path / 'a.mkv'))
        for fed in [frames] if color else [frames, frames[..., :1]]:
            (found,) = session.run(['probabilities'], {'frames': fed})
            assert found.mean(axis=0).tolist() == pytest.approx(list(row['probabilities'].values()), abs=1e-3)


def test_the_page_shows_how_it_is_run(exported, monkeypatch, capsys):
    monkeypatch.chdir(exported.parent)
    page = (ROOT / 'docs' / 'deployment.md').read_text(encoding='utf-8')
    exec(re.search(r'```python\n(.*?)```', page, re.DOTALL)[1], {})
    assert capsys.readouterr().out.strip() in ('a', 'b', 'c')


def test_the_file_says_what_it_is(model, exported):
    found = load_onnx_classifier(exported)
    original = load_classifier(model)
    assert found.classes == ['a', 'b', 'c'] and found.settings == original.settings
    np.testing.assert_array_equal(found.training.features, original.training.features)
    assert found.training.limit == original.training.limit
    properties = {entry.key: entry.value for entry in onnx.load(exported).metadata_props}
    assert json.loads(properties['source'])['file'] == 'model.pth'
    card = exported.with_name('model.onnx.md').read_text()
    for text in ('a, b, c', 'not a medical device', 'model.pth', json.loads(properties['source'])['sha256']):
        assert text in card
    assert str(exported.parent) not in card and str(exported.parent) not in str(properties)


def test_files_that_are_not_ours_are_refused(exported, tmp_path, capsys):
    content = exported.read_bytes()
    graph = onnx.load(exported)
    del graph.metadata_props[:]
    newer = seal(graph.SerializeToString(), {'version': 99})
    at = content.index(b'a", "b", "c')
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1  # in a weight
    others = {
        'other': (graph.SerializeToString(), 'is not a classifier of this package'),
        'none': (b'no model', 'not a model that ONNX Runtime can read'),
        'cut': (content[: len(content) // 2], 'cut.onnx'),
        'renamed': (content[:at] + b'x' + content[at + 1 :], 'was changed'),
        'flipped': (bytes(flipped), 'was changed'),
        'newer': (newer, 'format 99'),
        'lost': (seal(graph.SerializeToString(), {}), 'does not say how it is used'),
    }
    for name, (data, text) in others.items():
        (tmp_path / f'{name}.onnx').write_bytes(data)
        assert predict(tmp_path / f'{name}.onnx', 'x.mp4') == 1
        shown = capsys.readouterr().err
        assert f'{name}.onnx' in shown and text in shown and len(shown.splitlines()) == 1, shown
    assert predict(tmp_path / 'gone.onnx', 'x.mp4') == 1 and 'gone.onnx' in capsys.readouterr().err
    assert predict(exported, 'x.mp4', '--frame-size', 100) == 1 and '--frame-size' in capsys.readouterr().err


def test_models_of_other_kinds_are_refused(model, tmp_path):
    backbone = {'backbone.conv1.weight': torch.zeros(4, 3, 3, 3)}
    torch.save({'state_dict': backbone}, tmp_path / 'backbone.pth')
    cfg = "model = dict(type='MaskRCNN', rpn_head=dict(), roi_head=dict())"
    torch.save({'state_dict': backbone, 'meta': {'cfg': cfg}}, tmp_path / 'detector.pth')
    for name in ('backbone.pth', 'detector.pth'):
        with pytest.raises(CheckpointError, match=name):
            export_model(tmp_path / name, tmp_path / 'out.onnx', 'onnx-model', None, 0.95)
    for out, target, int8 in (
        ('out.pth', 'onnx-model', None),
        ('out.onnx', 'openvino', None),
        ('out.xml', 'openvino', 'd'),
    ):
        with pytest.raises(CheckpointError, match='--to'):
            export_model(model, tmp_path / out, target, int8, 0.95)
    assert not list(tmp_path.glob('out*'))


def test_eight_bits(model, exported, patients, make_clusters, tmp_path, monkeypatch):
    one = make_clusters(tmp_path / 'one', {f'a/{k}': (3, 'a', f'p{k}') for k in range(6)})
    two = make_clusters(tmp_path / 'two', {f'{"ab"[k % 2]}/{k}': (3, 'ab'[k % 2], f'p{k}') for k in range(8)})
    for data, text in ((one, 'a'), (two, 'class c')):
        with pytest.raises(ValueError, match=text) as error:
            export_model(model, tmp_path / 'small.onnx', 'onnx-model', str(data), 0.95)
        assert str(data) in str(error.value)
    said = export_model(model, tmp_path / 'small.onnx', 'onnx-model', str(patients), 0)
    assert 'int8' in said and 'int8' in (tmp_path / 'small.onnx.md').read_text()
    small, whole = load_onnx_classifier(tmp_path / 'small.onnx'), load_onnx_classifier(exported)
    assert (tmp_path / 'small.onnx').stat().st_size < 0.35 * exported.stat().st_size
    calibrating, held_back = int8_model.calibration_clips(patients, small.classes)
    assert (len(calibrating), len(held_back)) == (12, 6)
    pairs = [[run_frames(each.session, clip)[0].mean(axis=0) for each in (whole, small)] for clip in held_back]
    differences = [np.abs(first - second).max() for first, second in pairs]
    assert 0 < max(differences) < 0.1
    stated = {each.key: each.value for each in onnx.load(tmp_path / 'small.onnx').metadata_props}['int8']
    assert json.loads(stated)['largest'] == pytest.approx(max(differences), abs=1e-6)
    assert json.loads(stated)['changed'] == sum(first.argmax() != second.argmax() for first, second in pairs)
    monkeypatch.setattr(model_export, 'compare', lambda *_: Agreement(10, 1, 0.3, 40, 4))
    monkeypatch.setattr(model_export, 'quantise', lambda content, _: content)
    with pytest.raises(CheckpointError, match=r'lost\.onnx.* 1 of 10 clips'):
        export_model(model, tmp_path / 'lost.onnx', 'onnx-model', str(patients), 0.95)
    assert not list(tmp_path.glob('lost*'))
    assert 'next' in export_model(model, tmp_path / 'kept.onnx', 'onnx-model', str(patients), 0.9)


def test_agreement_of_a_model_with_itself_and_latencies(exported):
    content = exported.read_bytes()
    clips = [[draw(k, 60, k == 1) for _ in range(2)] for k in range(3)]
    assert compare(content, content, clips) == Agreement(3, 0, 0.0, 6, 0)
    assert Agreement(8, 2, 0.1, 10, 3).share == 0.75
    assert all(0 < each < 1e4 for each in latencies([content], clips[0][0]))


def test_clips_that_cannot_be_read_name_themselves(exported, tmp_path):
    found = load_onnx_classifier(exported)
    with pytest.raises(ClipError, match=r'none\.mp4'):
        found.predict_file(tmp_path / 'none.mp4', found.settings)


def test_openvino_gives_the_same(model, exported, tmp_path):
    openvino = pytest.importorskip('openvino')
    said = export_model(model, tmp_path / 'model.xml', 'openvino', None, 0.95)
    assert 'checked in OpenVINO' in said
    compiled = openvino.compile_model(tmp_path / 'model.xml', 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    frames = np.stack([draw(7 * k, 320, True) for k in range(2)])
    found = compiled({'frames': frames})['probabilities']
    np.testing.assert_allclose(found, run_frames(load_onnx_classifier(exported).session, list(frames))[0], atol=1e-3)
