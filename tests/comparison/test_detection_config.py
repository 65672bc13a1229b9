"""All detectors of a comparison are the same but for the backbone."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from uscl_plugin.comparison.detection_config import describe_detection, detection_config, read_detector
from uscl_plugin.comparison.methods import DETECTOR
from uscl_plugin.comparison.options import ComparisonOptions
from uscl_plugin.evaluation.backbones import load_backbone

pytest.importorskip('mmdet')
OPTIONS = ComparisonOptions(pretrain_data='', eval_data='', out='', detection_data='data')


@pytest.fixture(scope='module')
def backbone():
    return load_backbone('random')


@pytest.mark.parametrize(
    ('epochs', 'milestones'), [(None, [10, 20]), (60, [20, 40]), (12, [4, 8]), (3, [1, 2]), (1, [1, 1])]
)
@pytest.mark.parametrize(('size', 'scale'), [(None, (1333, 800)), (64, (107, 64))])
def test_epochs_and_size(backbone, epochs, milestones, size, scale):
    options = replace(OPTIONS, detection_epochs=epochs, detection_size=size, workers=0)
    cfg = detection_config(backbone, Path('b.pth'), 7, options)
    warm_up, steps = cfg.param_scheduler
    assert (steps.milestones, steps.end, warm_up.end) == (milestones, epochs or 30, 100)
    assert cfg.train_cfg.max_epochs == cfg.train_cfg.val_interval == (epochs or 30)
    assert cfg.randomness.seed == 7
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == str(Path('data').resolve())
        assert (loader.num_workers, loader.persistent_workers) == (0, False)
        assert [step.scale for step in loader.dataset.pipeline if step.type == 'Resize'] == [scale]


def test_configs_that_do_not_fit(backbone, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'gone\.py'):
        read_detector(tmp_path / 'gone.py')
    with pytest.raises(ValueError, match=r'init_cfg\.checkpoint'):
        read_detector(DETECTOR.with_name(DETECTOR.name.replace('uscl', 'scratch')))


def test_the_sentence_of_the_table(tmp_path):
    (tmp_path / 'annotations').mkdir()
    content = {'images': [{}] * 3, 'annotations': [{}] * 2}
    (tmp_path / 'annotations' / 'val.json').write_text(json.dumps(content))
    options = replace(OPTIONS, detection_data=str(tmp_path))
    text = describe_detection(options)
    assert 'shorter side 800, after the last of 30 epochs, on the 3 images (2 lesions)' in text
    text = describe_detection(replace(options, detection_epochs=2, detection_size=64))
    assert 'shorter side 64, after the last of 2 epochs' in text
