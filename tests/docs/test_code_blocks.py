"""Every Python block of the documentation runs; what a block configures can be built."""

import ast
from pathlib import Path

import pytest
import torch
from docs_pages import DOCS, PAGES, ROOT, blocks, name_of
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import HOOKS, VISBACKENDS, DefaultScope, init_default_scope

import uscl_plugin  # noqa: F401 (registers)

# Pages whose blocks another test runs in an order and with files of their own.
ELSEWHERE = {
    'docs/exports.md': 'tests/tools/test_exports_page.py',
    'docs/data_recipes.md': 'tests/docs/test_data_recipes.py',
    'docs/deployment.md': 'tests/deployment/test_model_export.py',
}
WITH_CODE = [page for page in PAGES if blocks(page, 'python') and name_of(page) not in ELSEWHERE]
NOT_RUN = 3  # blocks that are marked with a reason; raise it on purpose only


def build_settings(namespace):
    """Build what a config snippet sets, as far as that is cheap."""
    runtime = Config.fromfile(ROOT / 'configs' / '_base_' / 'default_runtime.py').default_hooks
    for name, hook in namespace.get('default_hooks', {}).items():
        HOOKS.build({**runtime.get(name, {}), **hook})
    for hook in namespace.get('custom_hooks', []):
        HOOKS.build(hook)
    for backend in namespace.get('visualizer', {}).get('vis_backends', []):
        VISBACKENDS.build({'save_dir': 'unused', **backend})
    if 'pipeline' in namespace:
        init_default_scope('mmpretrain')
        Compose(namespace['pipeline'])
    for name in namespace.get('custom_imports', {}).get('imports', []):
        __import__(name)


@pytest.mark.parametrize('page', WITH_CODE, ids=name_of)
def test_python_blocks_run_in_order(page, workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    DefaultScope._instance_dict.clear()
    torch.manual_seed(0)
    namespace = {'__name__': 'docs'}
    for block in blocks(page, 'python'):
        if block.reason:
            continue
        code = '\n' * (block.line - 1) + block.code  # so that errors name the line of the page
        exec(compile(code, name_of(page), 'exec'), namespace)
        build_settings({name: namespace[name] for name in assigned(block.code)})


def assigned(code):
    targets = [target for node in ast.parse(code).body if isinstance(node, ast.Assign) for target in node.targets]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def test_pages_that_are_run_elsewhere_are():
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(encoding='utf-8')


def test_blocks_that_are_not_run_are_counted():
    marked = [block.reason for page in PAGES for block in blocks(page) if block.reason]
    assert len(marked) == NOT_RUN, marked


def test_every_block_has_a_language():
    for page in PAGES:
        for block in blocks(page):
            assert block.language in ('python', 'bash', 'text', 'json', 'yaml') or name_of(page) == 'README.md', (
                f'{name_of(page)}:{block.line}: say python, bash or text'
            )


def test_there_are_pages_to_test():
    names = {name_of(page) for page in WITH_CODE}
    assert {'README.md', 'docs/your_classifier.md', 'docs/spg_anywhere.md', 'docs/method.md'} <= names
    assert sum(len(blocks(page, 'python')) for page in PAGES if DOCS in page.parents) >= 20
