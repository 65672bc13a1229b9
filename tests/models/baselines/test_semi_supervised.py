"""What the three methods share, and that their checkpoints are those of an image classifier."""

import pytest
import torch
from mmpretrain.structures import DataSample

NAMES = ['PiModel', 'FixMatch', 'TemporalEnsembling']


def start(model, num_samples=4, num_labelled=2):
    if hasattr(model, 'start_training'):
        model.start_training(num_samples, num_labelled)
    return model


@pytest.mark.parametrize('name', NAMES)
def test_predicts_and_loads_as_an_image_classifier(build, name):
    model = build(name).eval()
    plain = build('ImageClassifier').eval()
    # another seed's weights and statistics, so that nothing is equal by chance
    torch.manual_seed(1)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point() and tensor.numel():
            tensor.copy_(torch.rand_like(tensor))
    missing, unexpected = plain.load_state_dict(model.state_dict(), strict=False)
    assert not missing and set(unexpected) <= {'ensemble', 'ensemble_counts'}

    data = dict(inputs=torch.randint(0, 256, (2, 3, 32, 32)), data_samples=[DataSample(), DataSample()])
    found, expected = (m.val_step(dict(data)) for m in (model, plain))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.pred_score, b.pred_score)
    images = model.data_preprocessor(data)['inputs']
    with torch.no_grad():
        torch.testing.assert_close(model(images, mode='tensor'), plain(images, mode='tensor'))


@pytest.mark.parametrize('name', NAMES)
def test_all_views_go_through_the_backbone_in_one_pass(build, samples, name):
    model = start(build(name))
    passes = []
    model.backbone.register_forward_hook(lambda module, args, out: passes.append(args[0].shape))
    views = [torch.randn(4, 3, 32, 32) for _ in range(model.num_views)]
    model.loss(views, samples([0, 1, -1, -1]))
    assert passes == [(4 * model.num_views, 3, 32, 32)]
    model.eval()
    for logits, view in zip(model.classify(views), views, strict=True):
        torch.testing.assert_close(logits, model(view, mode='tensor'))


@pytest.mark.parametrize('name', NAMES)
def test_a_batch_without_labels_has_an_exact_zero_and_gradients(build, samples, name):
    model = start(build(name))
    views = [torch.randn(4, 3, 32, 32) for _ in range(model.num_views)]
    total, log = model.parse_losses(model(views, samples([-1, None, -1, None]), mode='loss'))
    total.backward()
    assert log['loss_cls'] == 0 and total.isfinite()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize('name', NAMES)
def test_labels_count_and_belong_to_their_images(on_logits, samples, name):
    model = start(on_logits(name))
    torch.manual_seed(0)
    views = [torch.randn(4, 3) for _ in range(model.num_views)]
    losses = [model.loss(views, samples(labels))['loss_cls'] for labels in ([0, 2, -1, -1], [2, 0, -1, -1], [0] * 4)]
    assert len({round(loss.item(), 5) for loss in losses}) == 3
    if len(views) == 2:  # cross-entropy of the first view only
        other = model.loss([views[0], torch.randn(4, 3)], samples([0, 2, -1, -1]))['loss_cls']
        assert other == losses[0]


@pytest.mark.parametrize('name', NAMES)
def test_wrong_labels_and_views_are_refused(build, samples, name):
    model = start(build(name))
    views = [torch.randn(2, 3, 32, 32)] * model.num_views
    with pytest.raises(ValueError, match=r'label 3, .*model.head.num_classes'):
        model.loss(views, samples([0, 3]))
    for wrong in ([*views, views[0]], [views[0][0]] * model.num_views):
        with pytest.raises(ValueError, match=rf'{model.num_views} view.*MultiView'):
            model.loss(wrong, samples([0, 1]))
    with pytest.raises(ValueError, match=r'list of 2: .*default_collate'):
        model.predict([torch.randn(3, 32, 32)] * 2)
