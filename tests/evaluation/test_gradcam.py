import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from PIL import Image
from torch import nn

from uscl.convert.videos.store_settings import StoreSettings
from uscl_plugin.evaluation.classifier import read_clip
from uscl_plugin.evaluation.gradcam import METHODS, CamClassifier, activation_map
from uscl_plugin.evaluation.gradcam_sheet import heat_sheet, read_images
from uscl_plugin.weights.checkpoint_error import CheckpointError

SIZE = 128  # four cells of the last block
CLASSES = ['covid', 'pneumonia', 'regular']


def config(crop=False, top=True, **changes):
    preprocessor = dict(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0], to_rgb=True, num_classes=3)
    steps = [dict(type='LoadImageFromFile'), dict(type='AntialiasedResize', scale=SIZE)]
    steps += [dict(type='CenterCrop', crop_size=SIZE - 16)] if crop else []
    backbone = dict(type='ResNet', depth=18, stem_channels=16, base_channels=16, out_indices=(3,))
    head = dict(type='LinearClsHead', num_classes=3, in_channels=128)
    neck = dict(type='GlobalAveragePooling')
    model = dict(type='ImageClassifier', backbone=backbone, neck=neck, head=head) | changes
    return Config(
        dict(
            model=model if top else model | dict(data_preprocessor=preprocessor),
            data_preprocessor=preprocessor if top else None,
            test_dataloader=dict(dataset=dict(pipeline=[*steps, dict(type='PackInputs')])),
        )
    )


@pytest.fixture(scope='module')
def state():
    """Weights of a small classifier whose maps are not trivial."""
    from uscl_plugin.evaluation.gradcam import _build

    torch.manual_seed(0)
    network = _build(config(), {})
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
def checkpoint(tmp_path, state):
    path = tmp_path / 'best.pth'
    torch.save({'state_dict': state, 'meta': {'dataset_meta': {'classes': CLASSES}}}, path)
    return path


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)


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


@pytest.mark.parametrize('target', [None, 0, 1, 2])
@pytest.mark.parametrize('top', [True, False])
def test_maps_are_grad_cam(checkpoint, image, target, top):
    classifier = CamClassifier(config(top=top), checkpoint)
    prepared = classifier.prepare(image)
    resized = np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(prepared.permute(1, 2, 0), resized)
    rgb = torch.from_numpy(resized[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    shift, scale = (torch.tensor(v).view(1, 3, 1, 1) for v in ([120.0, 110.0, 100.0], [60.0, 50.0, 40.0]))
    inputs = (rgb - shift) / scale
    scores = classifier.network.head(classifier.network.neck(classifier.network.backbone(inputs)))[0]
    found = classifier.map_image(prepared, target)
    assert found.target == (scores.argmax() if target is None else target)
    np.testing.assert_allclose(found.probabilities, scores.softmax(0).detach(), atol=1e-5)
    expected = plain_gradcam(classifier.network, inputs, found.target)
    assert expected.max() == pytest.approx(1) and expected.std() > 0.1
    np.testing.assert_allclose(found.heat, expected, atol=1e-4)


def test_maps_of_classes_differ_and_frozen_stages_do_not_matter(checkpoint, image):
    frozen = config(backbone=dict(config().model.backbone, frozen_stages=4))
    maps = []
    for cfg in (config(), frozen):
        classifier = CamClassifier(cfg, checkpoint)
        maps.append([classifier.map_image(classifier.prepare(image), k).heat for k in range(3)])
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


def test_each_checkpoint_is_normalised_as_it_was_trained(tmp_path, state, image):
    text = 'model = dict(data_preprocessor=dict(mean=[1.0, 1.0, 1.0], std=[2.0, 2.0, 2.0], to_rgb=False))'
    torch.save({'state_dict': state, 'meta': {'cfg': text}}, tmp_path / 'a.pth')
    classifier = CamClassifier(config(), tmp_path / 'a.pth')
    assert classifier.classes == ['0', '1', '2']
    prepared = classifier.prepare(image)
    inputs = classifier.network.data_preprocessor({'inputs': prepared[None]})['inputs']
    torch.testing.assert_close(inputs[0], (prepared.float() - 1) / 2)


def test_the_picture_is_the_image_or_what_was_cut_out_of_it(checkpoint, image):
    classifier = CamClassifier(config(), checkpoint)
    np.testing.assert_array_equal(classifier.shown(image, classifier.prepare(image)), image[..., ::-1])
    classifier = CamClassifier(config(crop=True), checkpoint)
    expected = np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR))[8:-8, 8:-8, ::-1]
    np.testing.assert_array_equal(classifier.shown(image, classifier.prepare(image)), expected)
    kept = config()
    kept.test_dataloader.dataset.pipeline[1] = dict(type='Resize', scale=(SIZE, SIZE), keep_ratio=True)
    classifier = CamClassifier(kept, checkpoint)
    assert classifier.shown(image, classifier.prepare(image)).shape == (91, SIZE, 3)


def test_classes_by_name_or_index(checkpoint):
    classifier = CamClassifier(config(), checkpoint)
    assert [classifier.find_class(t) for t in ('pneumonia', '0', 'regular')] == [1, 0, 2]
    for wrong in ('tumour', '3', '-1', '²'):
        with pytest.raises(ValueError, match=r'--target .*covid, pneumonia, regular'):
            classifier.find_class(wrong)


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (
            {'head.fc.weight': None, 'head.fc.bias': None},
            r'a\.pth .* 2 missing \(head\.fc\.',
        ),
        ({'neck.fc.weight': torch.zeros(1)}, r'a\.pth .* 1 left over \(neck\.fc\.weight\)'),
        (
            {'head.fc.bias': torch.zeros(2)},
            r'a\.pth .* 1 of another shape \(head\.fc\.bias \(2,\) instead of \(3,\)\)',
        ),
        ({'head.fc.bias': 'text'}, r'1 of another shape \(head\.fc\.bias str'),
        ({'backbone.bn1.weight': None}, r'1 missing \(backbone\.bn1\.weight\)'),
    ],
)
def test_other_tensors_are_refused(tmp_path, state, change, text):
    changed = {key: value for key, value in {**state, **change}.items() if value is not None}
    torch.save({'state_dict': changed}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=text):
        CamClassifier(config(), tmp_path / 'a.pth')


def test_code_in_a_checkpoint_is_not_run(tmp_path, state):
    class Plant:
        def __reduce__(self):
            return open, (str(tmp_path / 'planted'), 'w')

    torch.save({'state_dict': state, 'meta': Plant()}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth .*pickled code'):
        CamClassifier(config(), tmp_path / 'a.pth')
    assert not (tmp_path / 'planted').exists()


def test_other_configs_are_refused(checkpoint):
    with pytest.raises(ValueError, match=r'test_dataloader'):
        CamClassifier(Config(dict(model=dict(type='ImageClassifier'))), checkpoint)
    with pytest.raises(ValueError, match=r'ImageClassifier'):
        CamClassifier(config(head=None), checkpoint)
    with pytest.raises(ValueError, match='LeNet5'):
        CamClassifier(config(backbone=dict(type='LeNet5')), checkpoint)


class TestImages:
    def read(self, sources, per_folder=6):
        skipped = []
        return list(read_images(sources, per_folder, skipped.append)), skipped

    def test_a_file_is_blue_green_red(self, tmp_path, image):
        Image.fromarray(image).save(tmp_path / 'a.png')
        ((name, found),), skipped = self.read([tmp_path / 'a.png'])
        assert name == f'{tmp_path.name}/a.png' and not skipped
        np.testing.assert_array_equal(found, image[..., ::-1])

    def test_a_folder_gives_evenly_spaced_images_in_natural_order(self, tmp_path, image):
        for k in range(11):
            Image.fromarray(image[: k + 1]).save(tmp_path / f'f{k}.png')
        found, _ = self.read([tmp_path], 3)
        assert [len(frame) for _, frame in found] == [1, 6, 11]
        assert len(self.read([tmp_path], 99)[0]) == 11

    def test_a_clip_gives_its_middle_frame(self, tmp_path):
        frames = [Image.new('RGB', (16, 16), (40 * k, 0, 255)) for k in range(5)]
        frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:], duration=500)
        ((name, found),), _ = self.read([tmp_path / 'a.gif'])
        assert name == 'a.gif' and found.shape == (16, 16, 3)
        np.testing.assert_allclose(found[0, 0], [255, 0, 80], atol=4)

    def test_a_dicom_file_gives_its_middle_frame_too(self, tmp_path):
        pytest.importorskip('pydicom')
        from dicom_files import write_dicom

        stored = np.random.default_rng(0).integers(0, 256, (7, 40, 50), dtype=np.uint8)
        path = write_dicom(tmp_path / 'scan.dcm', stored, FrameTime='500')
        ((name, found),), _ = self.read([path])
        assert name == 'scan.dcm'
        np.testing.assert_array_equal(found, np.repeat(stored[3][..., None], 3, axis=2))

    def test_images_are_prepared_as_for_a_prediction(self, tmp_path, image):
        tinted = np.repeat(image[..., :1] // 2, 3, axis=2) + np.array([9, 0, 4], np.uint8)
        Image.fromarray(tinted).save(tmp_path / 'a.png')
        found = list(read_images([tmp_path, tmp_path / 'a.png'], 6, pytest.fail, size=25))
        (expected,) = read_clip(tmp_path / 'a.png', StoreSettings(size=25))
        assert expected.shape == (25, 35, 3) and (expected == expected[..., :1]).all()
        assert [name for name, _ in found] == [f'{tmp_path.name}/a.png'] * 2
        np.testing.assert_array_equal([picture for _, picture in found], [expected] * 2)

    def test_the_unreadable_is_named_and_left_out(self, tmp_path, image):
        (tmp_path / 'empty').mkdir()
        for name in ('bad.png', 'empty.mp4', 'zero.png'):
            (tmp_path / name).write_bytes(b'' if name != 'bad.png' else b'no image')
        Image.fromarray(image).save(tmp_path / 'good.png')
        names = ['bad.png', 'zero.png', 'empty.mp4', 'none.png', 'empty', 'good.png']
        found, skipped = self.read([tmp_path / name for name in names])
        assert len(found) == 1 and len(skipped) == 5
        assert all(name in text for name, text in zip(names, skipped, strict=False))


def test_sheet(checkpoint, image):
    classifiers = {'ours': CamClassifier(config(), checkpoint), 'theirs': CamClassifier(config(), checkpoint)}
    figure = heat_sheet([('a.png', image), ('b.png', image // 3)], classifiers, 'regular')
    cells = np.array(figure.axes[:-1]).reshape(2, 3)
    for row, source in zip(cells, (image, image // 3), strict=True):
        np.testing.assert_array_equal(row[0].images[0].get_array(), source[..., ::-1])
        for axes, classifier in zip(row[1:], classifiers.values(), strict=True):
            found = classifier.map_image(classifier.prepare(source), 2)
            np.testing.assert_array_equal(axes.images[1].get_array(), found.heat)
            assert axes.images[1].get_extent() == axes.images[0].get_extent()
            best = int(found.probabilities.argmax())
            assert axes.get_title().endswith(f'{CLASSES[best]} {found.probabilities[best]:.2f}')
            note = axes.texts[0].get_text()
            assert note == '' if best == 2 else note.startswith(f'map of regular {found.probabilities[2]:.2f}')
    assert [axes.get_title().split('\n')[0] for axes in cells[0]] == ['image', 'ours', 'theirs']
    figure.canvas.draw()
    with pytest.raises(ValueError, match='--target tumour '):
        heat_sheet([('a.png', image)], classifiers, 'tumour')
    with pytest.raises(ValueError, match=r'image'):
        heat_sheet([], classifiers)
