"""Maps are those of Grad-CAM's definition, of the frames, class and probability that `uscl predict` gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from media_clips import draw, write_frames
from mmengine.config import Config
from PIL import Image
from torch import nn

from uscl.convert.videos.store_settings import StoreSettings
from uscl_plugin.evaluation.classifier import load_classifier
from uscl_plugin.evaluation.gradcam import METHODS, activation_map, find_class, map_frame
from uscl_plugin.evaluation.gradcam_sheet import MappedFrame, heat_sheet, map_clip
from uscl_plugin.weights.network_builder import build_network

SIZE = 128  # four cells of the last block
CLASSES = ['covid', 'pneumonia', 'regular']


def config(**changes):
    preprocessor = dict(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0], to_rgb=True)
    steps = [dict(type='LoadFrame'), dict(type='AntialiasedResize', scale=SIZE), dict(type='PackInputs')]
    backbone = dict(type='ResNet', depth=18, stem_channels=16, base_channels=16, out_indices=(3,))
    head = dict(type='LinearClsHead', num_classes=3, in_channels=128)
    neck = dict(type='GlobalAveragePooling')
    model = dict(type='ImageClassifier', backbone=backbone, neck=neck, head=head, data_preprocessor=preprocessor)
    return Config(dict(model=model | changes, test_dataloader=dict(dataset=dict(pipeline=steps))))


@pytest.fixture(scope='module')
def state():
    """Weights of a small classifier whose maps are not trivial."""
    torch.manual_seed(0)
    network = build_network(config().model.to_dict(), 'a.pth', 'mmpretrain')
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    nn.init.normal_(network.head.fc.weight)
    network.eval()
    with torch.no_grad():  # no class is for or against the average cell, so that no map is empty or full
        mean = network.extract_feat(torch.randn(8, 3, SIZE, SIZE))[0].mean(dim=0)
        weight = network.head.fc.weight
        weight -= torch.outer(weight @ mean, mean) / mean.square().sum()
    return network.state_dict()


@pytest.fixture
def write(tmp_path, state):
    """A function that writes a checkpoint of the classifier."""

    def write(name='best.pth', state=state, **changes):
        meta = {'cfg': config(**changes).pretty_text, 'dataset_meta': {'classes': CLASSES}}
        torch.save({'state_dict': state, 'meta': meta}, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def classifier(write):
    return load_classifier(write())


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)


@pytest.fixture
def clip(tmp_path):
    """A clip of 20 frames at 10 a second."""
    write_frames(tmp_path / 'a.mkv', np.stack([draw(40 * k + 3, 160, True) for k in range(20)]), 10)
    return tmp_path / 'a.mkv'


def plain_gradcam(network, inputs, target):
    """Grad-CAM from its definition: the channels' gradients, averaged over space, weigh the channels."""
    (features,) = network.backbone(inputs)
    features.retain_grad()
    network.head(network.neck((features,)))[0, target].backward()
    heat = F.relu((features.grad.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True)).detach()
    for size in (heat.shape[-2:], inputs.shape[-2:]):
        heat = F.interpolate(heat, size, mode='bilinear')
        heat = (heat - heat.min()) / (heat.max() - heat.min()).clamp(min=1e-7)
    return heat[0, 0].numpy()


@pytest.mark.parametrize('target', [0, 1, 2])
def test_maps_are_grad_cam(classifier, image, target):
    resized = np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    rgb = torch.from_numpy(resized.copy()).permute(2, 0, 1)[None].float()
    shift, scale = (torch.tensor(v).view(1, 3, 1, 1) for v in ([120.0, 110.0, 100.0], [60.0, 50.0, 40.0]))
    inputs = (rgb - shift) / scale
    network = classifier.model
    scores = network.head(network.neck(network.backbone(inputs)))[0]
    (pixels,) = classifier.resize([image])
    np.testing.assert_array_equal(pixels.permute(1, 2, 0), resized[..., ::-1])
    found = map_frame(classifier, pixels, target)
    assert found.target == target
    np.testing.assert_allclose(found.probabilities, scores.softmax(0).detach(), atol=1e-5)
    expected = plain_gradcam(network, inputs, target)
    assert expected.max() == pytest.approx(1) and expected.std() > 0.1
    np.testing.assert_allclose(found.heat, expected, atol=1e-4)


def test_maps_of_classes_differ_and_frozen_stages_do_not_matter(write, image):
    frozen = write('frozen.pth', backbone=dict(config().model.backbone, frozen_stages=4))
    maps = []
    for path in (write(), frozen):
        classifier = load_classifier(path)
        maps.append([map_frame(classifier, classifier.resize([image])[0], k).heat for k in range(3)])
    np.testing.assert_array_equal(maps[0], maps[1])
    assert all(np.abs(maps[0][i] - maps[0][j]).max() > 0.3 for i, j in ((0, 1), (0, 2), (1, 2)))


class Toy(nn.Module):
    """Class 0 looks at what is red, class 1 at what is green; class 2 is against both."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.conv.weight.data = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).view(2, 3, 1, 1)
        self.fc = nn.Linear(2, 3, bias=False)
        self.fc.weight.data = torch.tensor([[1.0, 0], [0, 2.0], [-1.0, -1.0]])

    def forward(self, inputs):
        return self.fc(self.conv(inputs).mean((2, 3)))


@pytest.mark.parametrize('method', METHODS)
def test_a_map_lights_up_where_the_network_looks(method):
    inputs = torch.zeros(1, 3, 16, 16)
    inputs[0, 0, 2:6, 2:6] = 1
    inputs[0, 1, 9:14, 8:15] = 1
    toy = Toy()
    for target in (0, 1):
        found = activation_map(toy, toy.conv, inputs, target, method)
        np.testing.assert_allclose(found.heat, inputs[0, target], atol=1e-5)
    assert activation_map(toy, toy.conv, inputs, None, method).target == 1
    if method != 'eigengradcam':  # the sign of a principal component is arbitrary
        assert not activation_map(toy, toy.conv, inputs, 2, method).heat.any()
    assert not toy.conv._forward_hooks and toy.conv.weight.grad is None


def test_classes_by_name_or_index():
    assert [find_class(CLASSES, t) for t in ('pneumonia', '0', 'regular')] == [1, 0, 2]
    for wrong in ('tumour', '3', '-1', '²'):
        with pytest.raises(ValueError, match=r'--target .*covid, pneumonia, regular'):
            find_class(CLASSES, wrong)


@pytest.mark.parametrize(
    ('backbone', 'width'),
    [
        (dict(type='MobileNetV3', arch='small_050', out_indices=(12,)), 288),
        (dict(type='ConvNeXt', arch='atto', out_indices=(3,), gap_before_final_norm=False), 320),
        (dict(type='ShuffleNetV2', widen_factor=0.5), 1024),
    ],
    ids=lambda value: value['type'] if isinstance(value, dict) else '',
)
def test_other_backbones_are_mapped_on_their_last_feature_map(write, image, backbone, width):
    changes = dict(backbone=backbone, head=dict(type='LinearClsHead', num_classes=3, in_channels=width))
    torch.manual_seed(0)
    network = build_network(config(**changes).model.to_dict(), 'a.pth', 'mmpretrain')
    classifier = load_classifier(write(state=network.state_dict(), **changes))
    (pixels,) = classifier.resize([image])
    found = map_frame(classifier, pixels, 1)
    expected = plain_gradcam(classifier.model, classifier.inputs(pixels[None]), 1)
    np.testing.assert_allclose(found.heat, expected, atol=1e-3)


def test_a_backbone_without_a_map_is_refused(write, image):
    backbone = dict(
        type='VisionTransformer', arch=dict(embed_dims=8, num_layers=1, num_heads=1, feedforward_channels=8)
    )
    backbone |= dict(img_size=SIZE, patch_size=32)
    head = dict(type='VisionTransformerClsHead', num_classes=3, in_channels=8)
    network = build_network(config(backbone=backbone, neck=None, head=head).model.to_dict(), 'a.pth', 'mmpretrain')
    path = write(state=network.state_dict(), backbone=backbone, neck=None, head=head)
    classifier = load_classifier(path)
    with pytest.raises(ValueError, match='VisionTransformer'):
        map_frame(classifier, classifier.resize([image])[0], 1)


def test_a_map_is_of_the_class_frame_and_probability_of_the_prediction(classifier, clip):
    settings = replace(StoreSettings(), fps=5.0, size=64)
    row = classifier.predict(prepared := classifier.prepare(clip, settings))
    best, share = row['predicted'], max(row['probabilities'].values())
    (middle,) = map_clip(clip, classifier, settings)
    assert row['frames'] == 10 and middle.title == f'{best} {share:.3f}\nframe 6 of 10, 1.00 s'
    np.testing.assert_array_equal(middle.picture, prepared.frames[5])
    np.testing.assert_array_equal(middle.heat, map_frame(classifier, prepared.pixels[5], CLASSES.index(best)).heat)
    several = map_clip(clip, classifier, settings, num=3, target='covid')
    assert [found.title.split('\n')[1] for found in several] == [
        'frame 1 of 10, 0.00 s', 'frame 5 of 10, 0.80 s', 'frame 10 of 10, 1.80 s',
    ]  # fmt: skip
    assert all(
        (f'map of covid {row["probabilities"]["covid"]:.3f}' in found.note) == (best != 'covid') for found in several
    )


def test_what_enters_the_network_is_the_same_for_maps_and_predictions(classifier, clip):
    seen = []
    handle = classifier.model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    classifier.predict(classifier.prepare(clip))
    (predicted,) = seen
    for k, found in enumerate(map_clip(clip, classifier, num=99)):
        del seen[:]
        assert found.title.split('\n')[1].startswith(f'frame {k + 1} of {len(predicted)}')
    map_clip(clip, classifier)
    handle.remove()
    assert torch.equal(seen[0], predicted)  # its own prediction
    for inputs in seen[1:]:  # the map
        assert torch.equal(inputs, predicted[len(predicted) // 2][None])


def test_images_have_no_time_and_notes_say_what_is_odd(classifier, tmp_path, image):
    Image.fromarray(image).save(tmp_path / 'a.png')
    (found,) = map_clip(tmp_path / 'a.png', classifier)
    assert found.title.endswith('frame 1 of 1') and found.note == ''
    other = next(name for name in CLASSES if not found.title.startswith(name))
    assert map_clip(tmp_path / 'a.png', classifier, target=other)[0].note.startswith(f'map of {other} 0.')


class TestSheet:
    def mapped(self, title='covid 0.912\nframe 3 of 9, 1.00 s', note='', shape=(50, 70, 3)):
        rng = np.random.default_rng(0)
        return MappedFrame(rng.integers(0, 256, shape, dtype=np.uint8), rng.random((SIZE, SIZE)), title, note)

    def test_rows_and_columns(self):
        first, second = self.mapped(note='map of regular 0.010'), self.mapped('regular 0.500\nframe 1 of 1')
        figure = heat_sheet([('a.mp4', dict(ours=first, theirs=second)), ('b.png', dict(ours=second, theirs=first))])
        cells = np.array(figure.axes[:-1]).reshape(2, 3)
        np.testing.assert_array_equal(cells[0, 0].images[0].get_array(), first.picture)
        for axes, found in zip((*cells[0, 1:], *cells[1, 1:]), (first, second, second, first), strict=True):
            np.testing.assert_array_equal(axes.images[1].get_array(), found.heat)
            assert axes.images[1].get_extent() == axes.images[0].get_extent()
            assert axes.get_title().endswith(found.title) and axes.texts[0].get_text() == found.note
        assert [axes.get_title().split('\n')[0] for axes in cells[0]] == ['image', 'ours', 'theirs']
        assert [axes.texts[0].get_text() for axes in cells[:, 0]] == ['a.mp4', 'b.png']

    @pytest.mark.parametrize('columns', [1, 2, 4])
    @pytest.mark.parametrize('shape', [(50, 70, 3), (90, 40, 3), (30, 120, 3)])
    def test_the_words_of_the_legend_do_not_touch_each_other_or_the_edge(self, columns, shape):
        row = {f'{k}': self.mapped(shape=shape) for k in range(columns)}
        figure = heat_sheet([('a.mp4', row)])
        figure.canvas.draw()
        bar = figure.axes[-1]
        boxes = [text.get_window_extent() for text in (bar.title, *bar.get_xticklabels()) if text.get_text()]
        assert len(boxes) == 3
        for k, box in enumerate(boxes):
            assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1 and figure.bbox.y0 <= box.y0
            assert not any(box.overlaps(other) for other in boxes[k + 1 :])

    def test_nothing_to_show(self):
        with pytest.raises(ValueError, match='frames'):
            heat_sheet([])


def test_a_backbone_that_pools_is_mapped_on_its_last_map(write, image):
    """ConvNeXt's norm follows its pooling."""
    torch.manual_seed(0)
    backbone = dict(type='ConvNeXt', arch='atto', layer_scale_init_value=1.0)
    changes = dict(backbone=backbone, neck=None, head=dict(type='LinearClsHead', num_classes=3, in_channels=320))
    network = build_network(config(**changes).model.to_dict(), 'a.pth', 'mmpretrain')
    classifier = load_classifier(write(state=network.state_dict(), **changes))
    pixels = classifier.resize([image])[0]
    found = map_frame(classifier, pixels, 1)
    maps = []

    def keep(module, args, out):
        out.retain_grad()
        maps.append(out)

    classifier.model.backbone.stages[3].register_forward_hook(keep)
    inputs = classifier.inputs(pixels[None]).requires_grad_()
    classifier.model.head(classifier.model.backbone(inputs)).backward(torch.tensor([[0.0, 1.0, 0.0]]))
    weights = maps[0].grad.mean((2, 3), keepdim=True)
    expected = (weights * maps[0]).sum(1, keepdim=True).relu().detach()
    expected = F.interpolate(expected, size=(SIZE, SIZE), mode='bilinear')[0, 0]
    assert np.corrcoef(found.heat.ravel(), expected.numpy().ravel())[0, 1] > 0.98
