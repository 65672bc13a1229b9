"""The wheel holds the configs and tools, and works from any folder. Built and installed without network."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from lesion_truth import write_truth
from mmengine.fileio import load
from PIL import Image

from uscl.data.synthetic_videos import write_synthetic_videos
from uscl.version import __version__

ROOT = Path(__file__).parents[1]
SOURCES = ('setup.py', 'MANIFEST.in', 'pyproject.toml', 'README.md', 'LICENSE', 'model-index.yml')
FOLDERS = ('configs', 'tools', 'requirements', 'uscl', 'uscl_plugin')

pytest.importorskip('pip', reason='needs pip, to build with')


def pip(*arguments):
    subprocess.run([sys.executable, '-m', 'pip', '--disable-pip-version-check', *arguments, '-q'], check=True)


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A copy of what is built from, as builds leave ``build/`` there; an earlier one has left a config behind."""
    source = tmp_path_factory.mktemp('source')
    for name in SOURCES:
        shutil.copy(ROOT / name, source)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns('__pycache__'))
    stale = source / 'build' / 'lib' / 'uscl_plugin' / '.mim' / 'configs' / 'uscl' / 'stale.py'
    stale.parent.mkdir(parents=True)
    stale.write_text('')
    return source


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    pip('wheel', source, '--no-deps', '--no-build-isolation', '--no-index', '-w', folder)
    (wheel,) = folder.iterdir()
    return wheel


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp('installed')
    pip('install', wheel, '--no-deps', '--no-index', '--ignore-installed', '--target', folder)
    return folder


@pytest.fixture
def uscl(installed, tmp_path):
    """A function that runs the installed command in an empty folder."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, installed / 'bin' / 'uscl', *arguments],
            capture_output=True, text=True, cwd=tmp_path, env=os.environ | {'PYTHONPATH': str(installed)},
        )  # fmt: skip

    return run


def files_below(folder):
    return {
        path.relative_to(ROOT).as_posix()
        for path in folder.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }


def test_wheel_holds_what_the_clone_has(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {name.removeprefix('uscl_plugin/.mim/') for name in names if name.startswith('uscl_plugin/.mim/')}
    expected = set.union(*(files_below(ROOT / folder) for folder in ('configs', 'tools', 'requirements')))
    expected = {name for name in expected if not name.startswith('tools/benchmarks/')}
    assert shipped == expected | {'model-index.yml'}
    kinds = ('.py', '.html', '.md')  # modules and templates
    files = {name for folder in ('uscl', 'uscl_plugin') for name in files_below(ROOT / folder) if name.endswith(kinds)}
    assert files == {name for name in names if name.endswith(kinds) and '.mim' not in name}


def test_build_leaves_only_what_git_ignores(source, wheel):
    new = {path.name for path in source.iterdir()} - set(SOURCES) - set(FOLDERS)
    assert new <= {'build', 'uscl_plugin.egg-info'}
    assert not (source / 'uscl_plugin' / '.mim').exists()


@pytest.mark.slow
def test_source_distribution_builds_the_same_wheel(source, wheel, tmp_path):
    subprocess.run([sys.executable, 'setup.py', '-q', 'sdist', '-d', tmp_path], cwd=source, check=True)
    (archive,) = tmp_path.iterdir()
    pip('wheel', archive, '--no-deps', '--no-build-isolation', '--no-index', '-w', tmp_path / 'again')
    (again,) = (tmp_path / 'again').iterdir()
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(wheel).namelist())


def test_configs_of_the_wheel(uscl, installed):
    run = uscl('configs', '--path')
    paths = [Path(line) for line in run.stdout.splitlines()]
    mim = installed / 'uscl_plugin' / '.mim'
    assert len(paths) == len(list(ROOT.glob('configs/[!_]*/*.py'))) and all(mim in path.parents for path in paths)
    index = load(str(mim / 'model-index.yml'))  # as mim and MMPretrain read it
    assert index['Import'] and all((mim / path).is_file() for path in index['Import'])


@pytest.mark.slow  # a training in a process of its own
def test_everything_works_in_another_folder(installed, tmp_path):
    """`uscl doctor --train` runs `uscl train uscl_resnet18_demo …` for a step; then, where do the modules look?"""
    code = """if True:
    import sys
    from uscl import cli
    sys.argv = ['uscl', 'doctor', '--train', '--json']
    assert cli.main() == 0
    from uscl.options.comparison_options import DETECTOR
    from uscl_plugin.comparison.methods import parse_method
    from uscl_plugin.evaluation.protocol_config import CONFIGS
    print(parse_method('uscl').config, DETECTOR, next(CONFIGS.glob('pocus/*.py')), sep='\\n', file=sys.stderr)
    """
    environment = os.environ | {'PYTHONPATH': str(installed)}
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr
    found = {finding['part']: finding for finding in json.loads(run.stdout)['findings']}
    assert str(installed / 'uscl_plugin' / '.mim' / 'configs') in found['configs']['found']
    assert found['training']['status'] == 'ok' and 'one step, loss' in found['training']['found']
    paths = run.stderr.splitlines()[-3:]
    assert all(Path(path).is_file() and str(installed) in path for path in paths), run.stderr


@pytest.mark.slow  # a pretraining run in an environment of its own
def test_the_wheel_pretrains_made_up_clips_in_a_new_environment(wheel, tmp_path):
    """The dependencies are those of this environment; package and command are the wheel's."""
    venv.create(tmp_path / 'venv')
    python = tmp_path / 'venv' / 'bin' / 'python'
    pip('--python', python, 'install', wheel, '--no-deps', '--no-index')
    (site,) = (tmp_path / 'venv').rglob('site-packages')
    (site / 'dependencies.pth').write_text(sysconfig.get_path('purelib') + '\n')
    rng = np.random.default_rng(0)
    (tmp_path / 'clips').mkdir()
    for k in range(6):
        frames = [Image.fromarray(rng.integers(0, 255, (48, 64), dtype=np.uint8)) for _ in range(9)]
        frames[0].save(tmp_path / 'clips' / f'{k}.gif', save_all=True, append_images=frames[1:], duration=100)
    command = [tmp_path / 'venv' / 'bin' / 'uscl', 'pretrain', 'clips', '--out', 'run', '--size', '32', '--epochs', '1']
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr
    assert (tmp_path / 'run' / 'backbone.pth').is_file() and 'next: uscl export' in run.stdout
    where = 'import uscl, uscl_plugin; print(uscl.__file__, uscl_plugin.__file__)'
    said = subprocess.run([python, '-c', where], capture_output=True, text=True, cwd=tmp_path, env=environment).stdout
    assert all(str(site) in path for path in said.split()[-2:])


def test_both_distributions_are_fit_to_be_uploaded(source, tmp_path):
    pytest.importorskip('build')
    pytest.importorskip('twine')
    command = [sys.executable, '-m', 'build', '--no-isolation', '-o', tmp_path, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == [f'uscl_plugin-{__version__}-py3-none-any.whl', f'uscl_plugin-{__version__}.tar.gz']
    command = [sys.executable, '-m', 'twine', 'check', '--strict', *(tmp_path / name for name in made)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0 and checked.stdout.count('PASSED') == 2, checked.stdout + checked.stderr


def test_every_file_that_says_the_version_says_the_same():
    citation = (ROOT / 'CITATION.cff').read_text()
    assert f'\nversion: {__version__}\n' in citation
    assert (ROOT / 'CHANGELOG.md').read_text().split('\n## ')[1].startswith(f'{__version__} ')


RUN_THEN_SAY_WHOSE = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
import uscl, uscl_plugin
print(uscl.__file__, uscl_plugin.__file__)
"""


@pytest.mark.slow
@pytest.mark.parametrize('host', ['mmpretrain', 'mmdet'])
def test_hosts_own_tool_trains_a_config_of_the_wheel(host, installed, tmp_path):
    """As MMPretrain's and MMDetection's users start it, far from any clone; `mim` runs the same files."""
    tool = Path(next(iter(importlib.util.find_spec(host).submodule_search_locations))) / '.mim' / 'tools' / 'train.py'
    configs = installed / 'uscl_plugin' / '.mim' / 'configs'
    if host == 'mmpretrain':
        config = configs / 'uscl' / 'uscl_resnet18_demo.py'
        data = write_synthetic_videos(tmp_path / 'data', videos=4, frames=4, size=40)
        options = [f'train_dataloader.dataset.data_root={data}', 'model.head.num_classes=2']
        options += ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']
    else:
        config = configs / 'udiat_b' / 'faster-rcnn_r18_fpn_scratch_1xb2-30e_udiat-b.py'
        data = write_truth(tmp_path / 'data')
        truth = json.loads((data / 'annotations' / 'val.json').read_text())
        for image in truth['images']:  # another patient's: an image on both sides would be refused
            other = {'file_name': f'other_{image["file_name"]}', 'patient_id': f'other {image["patient_id"]}'}
            shutil.copy(data / 'images' / image['file_name'], data / 'images' / other['file_name'])
            image.update(other)
        (data / 'annotations' / 'train.json').write_text(json.dumps(truth))
        options = ['model.train_cfg.rpn_proposal.max_per_img=50']
        for name in ('train', 'val', 'test'):
            options += [
                f'{name}_dataloader.dataset.data_root={data}',
                f'{name}_dataloader.num_workers=0',
                f'{name}_dataloader.persistent_workers=False',
                f'{name}_dataloader.dataset.steps.Resize.scale=(64,64)',
            ]
    command = [sys.executable, '-c', RUN_THEN_SAY_WHOSE, str(tool), str(config), '--work-dir', str(tmp_path / 'run')]
    environment = os.environ | {'PYTHONPATH': str(installed)}
    run = subprocess.run(
        [*command, '--cfg-options', 'train_cfg.max_epochs=1', *options],
        capture_output=True, text=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]
    assert list((tmp_path / 'run').glob('epoch_1.pth'))
    assert all(str(installed) in path for path in run.stdout.splitlines()[-1].split())


@pytest.mark.slow
def test_editable_install_reads_the_clone(source, tmp_path):
    # Without --ignore-installed, pip would uninstall the package from the environment that runs the tests.
    here = ('--prefix', tmp_path, '--ignore-installed')
    before = sorted(Path(sysconfig.get_path('purelib')).glob('*uscl*'))
    pip('install', '-e', source, '--no-deps', '--no-build-isolation', '--no-index', *here)
    assert sorted(Path(sysconfig.get_path('purelib')).glob('*uscl*')) == before
    assert not (source / 'uscl_plugin' / '.mim').exists()
    (site,) = tmp_path.rglob('site-packages')
    code = f'import site, sys; site.addsitedir({str(site)!r}); from uscl import cli; cli.main()'
    command = [sys.executable, '-S', '-c', code, 'configs', '--path']
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert str(source / 'configs' / 'uscl' / 'uscl_resnet18_demo.py') in run.stdout.splitlines(), run.stderr
    assert (tmp_path / 'bin' / 'uscl').is_file()
