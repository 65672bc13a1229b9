"""docs/configs.md says of each config and option what the config and the code say."""

import re

from config_table import FOLDERS, PAGE, fill, render
from docs_pages import ROOT
from mmengine.registry import HOOKS, TRANSFORMS
from mmpretrain.registry import DATASETS, MODELS

MAKE = 'python tests/docs/config_table.py'


def test_tables_are_those_of_the_code():
    page = PAGE.read_text(encoding='utf-8')
    assert fill(page, render()) == page, f'docs/configs.md is stale: {MAKE}'


def test_every_config_has_one_row():
    page = PAGE.read_text(encoding='utf-8')
    folders = {path.parent.name for path in ROOT.glob('configs/[!_]*/*.py')}
    assert folders == set(FOLDERS)
    for path in ROOT.glob('configs/[!_]*/*.py'):
        assert page.count(f'\n| `{path.stem}` |') == 1, path.stem


def test_every_public_part_is_described():
    """All that the package registers, but for what only other parts of it use."""
    page = PAGE.read_text(encoding='utf-8')
    inner = {'TrainingSetHook', 'FrameAsImage', 'LesionDataset', 'LesionCheckHook'}
    for registry in (HOOKS, TRANSFORMS, DATASETS, MODELS):
        for name, cls in registry.module_dict.items():
            if cls.__module__.startswith('uscl_plugin.') and name not in inner and not name.startswith('_'):
                assert re.search(rf'^### {name}$', page, re.M), name
