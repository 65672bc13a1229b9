import re
import subprocess
import sys

import pytest

from uscl.core.environment import find_problems, installed_versions

ONEDL = {'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmpretrain': '1.3.6', 'onedl-mmdetection': '3.5.1'}
OPENMMLAB = {
    'mmengine': '0.10.7',
    'mmcv-lite': '2.1.0',
    'mmpretrain': '1.2.0',
    'mmdet': '3.3.0',
    'setuptools': '81.0.0',
}


@pytest.mark.parametrize(
    'versions',
    [ONEDL, OPENMMLAB | {'numpy': '1.26.4'}, ONEDL | {'setuptools': '84.0.0', 'numpy': '2.2.6'}, installed_versions()],
)
def test_tested_environments_have_no_problem(versions):
    assert find_problems(versions) == (None, [])


@pytest.mark.parametrize(
    'versions, message',
    [
        ({}, r'no OpenMMLab packages .*pip install -c requirements/constraints-onedl.txt -e ..\[onedl\].'),
        ({'setuptools': '81.0.0'}, 'no OpenMMLab packages'),
        (
            ONEDL | OPENMMLAB,
            r'onedl-mmcv.*mmcv-lite.*pip install .*\[onedl\]',
        ),
        ({'onedl-mmengine': '0.10.12', 'mmcv': '2.1.0'}, 'onedl-mmengine.*mmcv'),
        (
            {'mmengine': '0.10.7', 'setuptools': '81.0.0'},
            r'mmcv .*mmengine: .*pip install .*\[openmmlab\]',
        ),
        (
            {'onedl-mmpretrain': '1.3.6'},
            r'mmengine and mmcv .*onedl-mmpretrain: .*pip install .*\[onedl\]',
        ),
        (OPENMMLAB | {'setuptools': '82.0.1'}, "setuptools 82.0.1 .*pip install 'setuptools<82'"),
    ],
)
def test_what_cannot_work_is_one_sentence_with_the_remedy(versions, message):
    fatal, notes = find_problems(versions)
    assert notes == []
    assert re.search(message, fatal), fatal
    assert '\n' not in fatal


def test_what_breaks_a_part_is_a_note():
    fatal, notes = find_problems(OPENMMLAB | {'mmcv': '2.2.0'})
    assert fatal is None and notes == [
        "mmdet 3.3.0 refuses mmcv 2.2.0: pip install 'mmcv-lite==2.1.0' to use detection."
    ]
    fatal, notes = find_problems(OPENMMLAB | {'numpy': '2.2.6'})
    assert (
        fatal is None and len(notes) == 1 and notes[0].startswith('mmcv 2.1.0 cannot jitter hue with numpy 2.2.6: pip')
    )
    fatal, notes = find_problems({'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6'})
    assert fatal is None and len(notes) == 1 and notes[0].startswith('mmpretrain is not installed')


def in_fresh_process(code):
    # Python 3.12 warns of escapes in the hosts' own source wherever their bytecode is not kept.
    options = ['-W', 'ignore::SyntaxWarning']
    return subprocess.run([sys.executable, *options, '-c', code], capture_output=True, text=True)


def test_import_without_a_family_is_an_import_error_that_says_what_to_install():
    hide = 'import importlib.metadata as m; v = m.version\n'
    hide += 'def version(name):\n    if "mm" in name: raise m.PackageNotFoundError(name)\n    return v(name)\n'
    done = in_fresh_process(hide + 'm.version = version\nimport uscl_plugin')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith('ImportError: uscl_plugin: no OpenMMLab packages')


def test_importing_twice_and_reloading_is_silent_and_registers_once():
    done = in_fresh_process(
        'import importlib, uscl_plugin, uscl_plugin.models\n'
        'importlib.import_module("uscl_plugin"); importlib.reload(uscl_plugin)\n'
        'from mmengine.utils import import_modules_from_strings\n'
        'import_modules_from_strings(imports=["uscl_plugin"])\n'
        'from mmpretrain.registry import MODELS, DATASETS, TRANSFORMS\n'
        'print([registry.get(name).__name__ for registry, name in ((MODELS, "USCL"), (MODELS, "USCLHead"),'
        ' (MODELS, "LightlyNTXentLoss"), (DATASETS, "VideoClusterDataset"), (TRANSFORMS, "MixFrames"))])\n'
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['USCL', 'USCLHead', 'LightlyNTXentLoss', 'VideoClusterDataset', 'MixFrames']\n"
    assert done.stderr == ''
