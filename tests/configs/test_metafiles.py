"""model-index.yml lists every config, says what is in it, and MMPretrain can read it."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmpretrain.apis.model import ModelHub
from modelindex.load_model_index import load

ROOT = Path(__file__).parents[2]
WITHOUT_MODEL = {'configs/uscl/spg_in_mmdet_pipeline.py'}


@pytest.fixture(scope='module')
def models():
    index = load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    return {model.config: model for model in index.models}


def test_every_config_is_listed_once_and_every_entry_exists(models):
    configs = {path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/[!_]*/*.py')}
    assert set(models) == configs - WITHOUT_MODEL
    names = [model.name for model in models.values()]
    assert len(set(names)) == len(names)
    assert names == [Path(config).stem for config in models]


def test_entries_say_what_the_configs_say(models):
    for path, model in models.items():
        cfg = Config.fromfile(ROOT / path, import_custom_modules=False)
        facts = model.metadata.data
        assert (facts['Epochs'], facts['Batch Size']) == (
            cfg.train_cfg.max_epochs,
            cfg.train_dataloader.batch_size,
        ), path
        if 'xb' in path:  # file names say both, too
            assert f'xb{facts["Batch Size"]}-' in path and f'{facts["Epochs"]}e_' in path


def test_mmpretrain_finds_them_by_name(monkeypatch):
    monkeypatch.setattr(ModelHub, '_models_dict', {})
    monkeypatch.setattr(ModelHub, '_register_mmpretrain_models', classmethod(lambda cls: None))
    ModelHub.register_model_index(ROOT / 'model-index.yml', config_prefix=ROOT)
    found = ModelHub.get('uscl_resnet18_1xb32-300e_us4-224px')
    assert found.config.model.type == 'USCL' and found.weights is None
