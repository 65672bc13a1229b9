import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.registry import TRANSFORMS
from tool_module import load_tool

from uscl.core.config_literals import config_literals
from uscl.reports import embedding_map, figures
from uscl_plugin.evaluation import gradcam_sheet
from uscl_plugin.measures import features
from uscl_plugin.weights.network_builder import build_network

FOLDER = Path(__file__).parents[2] / 'tools' / 'visualization'
CONFIG = """
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[63.75, 63.75, 63.75], to_rgb=True),
    backbone=dict(type='ResNet', depth=18, stem_channels=16, base_channels=16, out_indices=(3,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=128))
test_dataloader = dict(dataset=dict(type='VideoFrameDataset', pipeline=[
    dict(type='LoadFrame'), dict(type='AntialiasedResize', scale=32), dict(type='PackInputs')]))
"""


@TRANSFORMS.register_module()
class TestFirstView(BaseTransform):
    """Keeps one view."""

    __test__ = False

    def transform(self, results):
        results['img'] = results['img'][0]
        return results


gradcam, embeddings, browse_pairs = (
    load_tool(f'tools/visualization/{name}.py') for name in ('gradcam', 'embeddings', 'browse_pairs')
)


def refused(tool, capsys, *arguments):
    """The line on stderr of a call that should fail."""
    assert tool.main([str(argument) for argument in arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and error.count('\n') == 1
    return error


@pytest.fixture
def finetuned(tmp_path):
    """Two classifiers, an image and a folder of frames."""
    model = config_literals(CONFIG, ('model',))['model']
    for seed, name in enumerate(('a', 'b')):
        torch.manual_seed(seed)
        network = build_network(model, name, 'mmpretrain')
        meta = {'cfg': CONFIG, 'dataset_meta': {'classes': ['ill', 'well']}}
        torch.save({'state_dict': network.state_dict(), 'meta': meta}, tmp_path / f'{name}.pth')
    rng = np.random.default_rng(0)
    (tmp_path / 'clip').mkdir()
    for name in ('frame.png', 'clip/0.png', 'clip/1.png', 'clip/2.png'):
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    return tmp_path


class TestGradcam:
    def arguments(self, folder, *more, clips=('frame.png',)):
        return [
            *(str(argument) for argument in (folder / 'a.pth', *(folder / name for name in clips))),
            *(str(argument) for argument in ('--out', folder / 'out' / 'sheet.png', *more)),
        ]

    def shown(self, monkeypatch, *arguments):
        rows = []
        draw = gradcam_sheet.heat_sheet
        monkeypatch.setattr(gradcam_sheet, 'heat_sheet', lambda found: (rows.extend(found), draw(found))[1])
        assert gradcam.main(list(arguments)) == 0
        monkeypatch.undo()
        return rows

    def test_sheet_of_two_classifiers(self, finetuned, capsys, monkeypatch):
        (finetuned / 'bad.png').write_bytes(b'none')
        other = f'--compare=other={finetuned / "b.pth"}'
        arguments = self.arguments(finetuned, other, '--target=well', clips=('bad.png', 'frame.png', 'clip'))
        rows = self.shown(monkeypatch, *arguments)
        captured = capsys.readouterr()
        assert captured.out.endswith('sheet.png: 2 frames of 2 clips, gradcam of a, other\n')
        assert captured.err.startswith('skipped: ') and 'bad.png: ' in captured.err
        assert [name for name, _ in rows] == ['frame.png', 'clip'] and list(rows[0][1]) == ['a', 'other']
        height, width, _ = cv2.imread(str(finetuned / 'out' / 'sheet.png')).shape
        assert width > 2.3 * 3 * 150 - 2 and height > 300

    def test_class_and_probability_are_those_of_predict(self, finetuned, capsys, monkeypatch):
        clips = [str(finetuned / name) for name in ('frame.png', 'clip', '.')]
        assert load_tool('tools/predict.py').main([str(finetuned / 'a.pth'), *clips, '--json']) == 0
        predicted = json.loads(capsys.readouterr().out)
        rows = self.shown(monkeypatch, *self.arguments(finetuned, clips=clips))
        assert len(predicted) == len(rows) == 4
        for row, (_, maps) in zip(predicted, rows, strict=True):
            share = row['probabilities'][row['predicted']]
            title = maps['a'].title.split('\n')
            assert title == [f'{row["predicted"]} {share:.3f}', f'frame {row["frames"] // 2 + 1} of {row["frames"]}']

    @pytest.mark.parametrize(('options', 'shape'), [([], (40, 60, 3)), (['--frame-size=20'], (20, 30, 3))])
    def test_frame_size(self, finetuned, monkeypatch, options, shape):
        ((_, maps),) = self.shown(monkeypatch, *self.arguments(finetuned, *options))
        assert maps['a'].picture.shape == shape

    def test_nothing_readable(self, finetuned, capsys):
        assert gradcam.main(self.arguments(finetuned, clips=('none.png',))) == 1
        skipped, error = capsys.readouterr().err.splitlines()
        assert 'none.png: it does not exist: check the path' in skipped
        assert error.startswith('error: no clip could be read')
        assert not (finetuned / 'out').exists()

    def test_requests_that_cannot_be_met(self, finetuned, capsys):
        assert '--target tumour ' in refused(gradcam, capsys, *self.arguments(finetuned, '--target=tumour'))
        assert 'none.pth does not exist' in refused(gradcam, capsys, *self.arguments(finetuned, '--compare=none.pth'))
        assert 'sheet.txt should be a file name' in refused(
            gradcam, capsys, *self.arguments(finetuned), '--out', finetuned / 'sheet.txt'
        )
        checkpoint = torch.load(finetuned / 'a.pth', weights_only=True)
        state = {key: value for key, value in checkpoint['state_dict'].items() if not key.startswith('head.')}
        torch.save(checkpoint | {'state_dict': state}, finetuned / 'a.pth')
        message = refused(gradcam, capsys, *self.arguments(finetuned))
        assert 'a.pth does not fit the network, 2 missing (head.fc' in message

    @pytest.mark.parametrize('option', ['--num=0', '--method=guess', '--frame-size=0'])
    def test_wrong_options(self, finetuned, capsys, option):
        with pytest.raises(SystemExit, match=r'2'):
            gradcam.main(self.arguments(finetuned, option))
        assert option.split('=')[0] in capsys.readouterr().err


class TestEmbeddings:
    @pytest.mark.parametrize(('method', 'kind'), [('pca', 'video'), ('tsne', 'class')])
    def test_map(self, clusters, tmp_path, capsys, method, kind):
        out = tmp_path / 'map.png'
        arguments = ['random', 'deep=random34', '--data', str(clusters), '--out', str(out), '--size', '32']
        arguments += ['--method', method, '--color', kind, '--frames-per-video', '2', '--dpi', '50']
        assert embeddings.main(arguments) == 0
        assert capsys.readouterr().out == f'{out}: 13 frames by {kind}, {method} of random, deep\n'
        assert cv2.imread(str(out)).shape[1] == 500

    def test_what_the_network_gets(self, clusters, tmp_path, monkeypatch):
        import torchvision

        torch.save(torchvision.models.resnet18(num_classes=2).state_dict(), tmp_path / 'net.pth')
        calls = []
        monkeypatch.setattr(features, 'extract_features', lambda *a: (calls.append(a), np.eye(2))[1])
        monkeypatch.setattr(embedding_map, 'list_frames', lambda *a: (['none/v#000000', 'none/v#000001'], ['a', 'b']))
        arguments = [
            f'n={tmp_path / "net.pth"}',
            '--data',
            str(clusters),
            '--out',
            str(tmp_path / 'map.png'),
            '--size',
            '48',
        ]
        arguments += ['--mean', '1', '2', '3', '--std', '5', '--channel-order', 'bgr', '--method', 'pca']
        assert embeddings.main(arguments) == 0
        assert calls[0][2:] == (48, [1.0, 2.0, 3.0], [5.0] * 3, False)

    def test_requests_that_cannot_be_met(self, clusters, tmp_path, capsys):
        more = ['--data', clusters, '--out', tmp_path / 'map.png']
        assert 'none.pth does not exist' in refused(embeddings, capsys, 'none.pth', *more)
        assert 'NAME=PATH' in refused(embeddings, capsys, 'random', 'random', *more)
        assert 'no video of split' in refused(embeddings, capsys, 'random', *more, '--split', 'val')
        assert 'annotations.json does not exist' in refused(embeddings, capsys, 'random', *more, '--data', tmp_path)
        assert 'map.xyz should be' in refused(embeddings, capsys, 'random', *more, '--out', 'map.xyz')
        with pytest.raises(SystemExit, match=r'2'):
            embeddings.main(['random', *map(str, more), '--frames-per-video', '0'])


class TestBrowsePairs:
    def config(self, folder, clusters, steps):
        path = folder / 'pretrain.py'
        dataset = dict(type='VideoClusterDataset', data_root=str(clusters), pipeline=steps)
        path.write_text(f'default_scope = "mmpretrain"\ntrain_dataloader = dict(dataset={dataset!r})\n')
        return path

    def steps(self, *extra, keys=('frame_inds', 'mix_ratios'), number=3):
        load = [dict(type='SampleVideoFrames', num_frames=number), dict(type='LoadVideoFrames')]
        return [*load, *extra, dict(type='PackInputs', meta_keys=keys)]

    def shown(self, monkeypatch, *arguments):
        rows = []
        draw = figures.triplet_sheet
        monkeypatch.setattr(figures, 'triplet_sheet', lambda found: (rows.extend(found), draw(found))[1])
        assert browse_pairs.main([str(argument) for argument in arguments]) == 0
        monkeypatch.undo()
        return rows

    def test_the_draws_of_an_epoch_of_a_run(self, clusters, tmp_path, monkeypatch, capsys):
        from mmpretrain.registry import DATASETS

        path = self.config(tmp_path, clusters, self.steps(dict(type='MixFrames')))
        arguments = (path, '--out', tmp_path / 'pairs.png', '--num', 99, '--dpi', 40)
        rows = self.shown(monkeypatch, *arguments, '--epoch', 7, '--seed', 5)
        assert capsys.readouterr().out.endswith('7 videos, epoch 7 of a run with seed 5, mixed, then augmented\n')
        dataset = DATASETS.build({**Config.fromfile(path).train_dataloader.dataset, '_scope_': 'mmpretrain'})
        dataset.set_epoch(7, 5)
        for row, item in zip(rows, dataset, strict=True):
            assert row['mix_ratios'] == tuple(item['data_samples'].mix_ratios)
            for view, expected in zip(row['views'], item['inputs'], strict=True):
                np.testing.assert_allclose(view, expected.permute(1, 2, 0).numpy()[..., ::-1], atol=0.5)  # rounded
        other = self.shown(monkeypatch, *arguments, '--epoch', 8, '--seed', 5)
        assert [row['mix_ratios'] for row in rows] != [row['mix_ratios'] for row in other]
        assert cv2.imread(str(tmp_path / 'pairs.png')) is not None

    def test_one_view_and_no_mixture(self, clusters, tmp_path, monkeypatch, capsys):
        out = tmp_path / 'views.png'
        for number, key in ((1, 'mix_ratios'), (2, 'video_id')):
            steps = self.steps(dict(type='MixFrames'), keys=('frame_inds', key), number=number)
            path = self.config(tmp_path, clusters, steps)
            rows = self.shown(monkeypatch, path, '--out', out, '--num', 2, '--dpi', 40)
            assert [(len(row['frames']), len(row['views']), row['mix_ratios']) for row in rows] == [(number, 2, ())] * 2
            assert 'mixed' not in capsys.readouterr().out

    def test_one_view(self, clusters, tmp_path, monkeypatch):
        steps = self.steps(dict(type='MixFrames'), dict(type='TestFirstView'), number=1)
        path = self.config(tmp_path, clusters, steps)
        (row,) = self.shown(monkeypatch, path, '--out', tmp_path / 'view.png', '--num', 1, '--dpi', 40)
        assert len(row['views']) == 1
        np.testing.assert_array_equal(row['views'][0], row['frames'][0])

    def test_requests_that_cannot_be_met(self, clusters, tmp_path, capsys):
        out = ('--out', tmp_path / 'pairs.png')
        path = self.config(tmp_path, clusters, self.steps(dict(type='MixFrames'), keys=('video_id',)))
        assert "list 'frame_inds' in the meta_keys" in refused(browse_pairs, capsys, path, *out)
        (tmp_path / 'empty.py').write_text('model = dict()')
        assert 'no train_dataloader' in refused(browse_pairs, capsys, tmp_path / 'empty.py', *out)
        assert 'nowhere.py' in refused(browse_pairs, capsys, tmp_path / 'nowhere.py', *out)
        assert 'does not exist' in refused(browse_pairs, capsys, path, *out, '--data-root', tmp_path)
        with pytest.raises(SystemExit, match=r'2'):
            browse_pairs.main([str(path), *map(str, out), '--num', '0'])
