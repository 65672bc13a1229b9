"""`uscl doctor` tells what works and what does not, and survives whatever is missing or broken."""

import json
import os
import subprocess
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from uscl import doctor
from uscl.core import environment
from uscl.core import shipped_files as paths
from uscl.core.shipped_files import list_configs
from uscl.doctor import BROKEN, NOTE, OK, OPTIONAL, Finding
from uscl_plugin.running import doctor_runs

ROOT = Path(__file__).parents[1]


def by_part(findings):
    return {finding.part: finding for finding in findings}


@pytest.fixture
def without_runs(monkeypatch):
    """What takes seconds finds nothing."""
    monkeypatch.setattr(doctor, 'check_torch', lambda: iter(()))
    for name in ('check_plugin', 'check_ops', 'check_training'):
        monkeypatch.setattr(doctor_runs, name, lambda: iter(()))


def test_this_environment_is_ready():
    findings = doctor.examine(lambda: doctor_runs)
    assert [finding for finding in findings if finding.status == BROKEN] == []
    found = by_part(findings)
    assert (
        found['torch'].status == OK
        and found['plugin'].status == OK
        and found['configs'].found.startswith(f'{len(list_configs())} in')
    )
    assert found['ops'].status == OK and 'NMS and RoIAlign are' in found['ops'].found
    versions = environment.installed_versions()
    assert found['family'].found == ('onedl' if 'onedl-mmengine' in versions else 'openmmlab')


@pytest.mark.parametrize(
    ('versions', 'found', 'remedy'),
    [
        ({}, 'no OpenMMLab packages', ".[onedl]'"),
        ({'onedl-mmengine': '0.10.12', 'mmcv': '2.1.0'}, 'onedl-mmengine', 'pip install'),
        ({'onedl-mmengine': '0.10.12'}, 'onedl-mmengine', ".[onedl]'"),
        ({'mmengine': '0.10.7', 'mmcv': '2.1.0', 'setuptools': '82.0'}, 'needs pkg_resources', "'setuptools<82'"),
    ],
)
def test_family_that_cannot_work(versions, found, remedy, monkeypatch, without_runs, capsys):
    monkeypatch.setattr(environment, 'installed_versions', lambda: versions)
    monkeypatch.setattr(doctor_runs, 'check_ops', lambda: pytest.fail('tried without a family'))
    assert doctor.main(['--json'], lambda: doctor_runs) == 1
    result = json.loads(capsys.readouterr().out)
    family = [finding for finding in result['findings'] if finding['part'] == 'family']
    assert result['ok'] is False and len(family) == 1 and family[0]['status'] == BROKEN
    assert found in family[0]['found'] and remedy in family[0]['remedy']
    assert result['findings'][-1]['found'] == 'not tried'


def test_part_of_a_family(monkeypatch, without_runs, capsys):
    versions = {'mmengine': '0.10.7', 'mmcv': '2.2.0', 'mmdet': '3.3.0', 'mmpretrain': '1.2.0', 'numpy': '1.26'}
    monkeypatch.setattr(environment, 'installed_versions', lambda: versions)
    notes = [finding for finding in doctor.check_family() if finding.status == NOTE]
    assert [(note.found, note.remedy) for note in notes] == [
        ('mmdet 3.3.0 refuses mmcv 2.2.0', "pip install 'mmcv-lite==2.1.0' to use detection.")
    ]


@pytest.mark.parametrize(
    ('requirement', 'tested', 'status', 'found', 'remedy'),
    [
        ('numpy>=1.24', {'numpy': metadata.version('numpy')}, OK, metadata.version('numpy'), ''),
        ('numpy>=1.24', {}, OK, metadata.version('numpy'), ''),
        ('numpy>=1.24', {'numpy': '1.0'}, NOTE, metadata.version('numpy'), 'tested with 1.0'),
        ('numpy>=999', {}, BROKEN, f'{metadata.version("numpy")} is not >=999', "pip install 'numpy>=999'"),
        ('no-such-package>=2', {}, BROKEN, 'not installed', "pip install 'no-such-package>=2'"),
    ],
)
def test_requirement(requirement, tested, status, found, remedy):
    result = doctor.check_requirement(Requirement(requirement), tested, BROKEN)
    assert (result.status, result.found, result.remedy) == (status, found, remedy)


def test_build_of_pytorch_is_no_other_version(monkeypatch):
    monkeypatch.setattr(metadata, 'version', lambda name: '2.14.1+cu130')
    assert doctor.check_requirement(Requirement('torch>=2.1'), {'torch': '2.14.1'}, BROKEN).status == OK
    assert doctor.check_requirement(Requirement('torch>=2.1'), {'torch': '2.14.0'}, BROKEN).status == NOTE


@pytest.mark.parametrize('missing', [True, False])
def test_optional_parts_are_one_command_each(missing, monkeypatch):
    lines = ['numpy>=1', 'aa>=1; extra == "both"', 'bb>=2; extra == "both"', 'pytest; extra == "test"']
    monkeypatch.setattr(metadata, 'requires', lambda name: lines)
    monkeypatch.setattr(
        metadata, 'metadata', lambda name: type('', (), {'get_all': lambda self, key: ['both', 'test']})()
    )

    def version(name):
        if missing and name in ('aa', 'bb'):
            raise metadata.PackageNotFoundError(name)
        return '3'

    monkeypatch.setattr(metadata, 'version', version)
    found = by_part(doctor.check_packages())
    assert set(found) == {'uscl_plugin', 'numpy', '[both]'}
    assert found['[both]'] == (
        Finding('[both]', OPTIONAL, 'aa not installed, bb not installed', "pip install 'aa>=1' 'bb>=2'")
        if missing
        else Finding('[both]', OK, 'aa 3, bb 3')
    )


@pytest.mark.parametrize('family', ['onedl', 'openmmlab'])
def test_tested_versions_are_those_of_the_constraints(family):
    lines = (ROOT / 'requirements' / f'constraints-{family}.txt').read_text().splitlines()
    versions = doctor.tested_versions(family)
    for name in ('torch', 'onedl-mmcv' if family == 'onedl' else 'mmcv-lite'):
        assert f'{name}=={versions[name]}' in lines


def test_constraints_of_other_pythons_do_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, 'REQUIREMENTS', tmp_path)
    (tmp_path / 'constraints-onedl.txt').write_text(
        "# made by hand\na==2 ; python_full_version >= '3'\na==1 ; python_full_version < '3'\nb-c==2.1\n"
    )
    assert doctor.tested_versions('onedl') == {'a': '2', 'b-c': '2.1'}


def test_not_installed(monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, 'requires', requires)
    (finding,) = doctor.check_packages()
    assert finding.status == NOTE and str(ROOT) in finding.found and f'-e {ROOT}' in finding.remedy


@pytest.mark.parametrize(
    ('cores', 'all_cores', 'threads', 'status', 'remedy'),
    [
        (8, 8, None, OK, 'divide OMP_NUM_THREADS=8 by'),
        (2, 64, None, NOTE, 'export OMP_NUM_THREADS=2'),
        (2, 64, '2', OK, 'several runs'),
        (2, 64, '16', NOTE, 'export OMP_NUM_THREADS=2'),
        (4, 4, '1', OK, ''),
    ],
)
def test_threads(cores, all_cores, threads, status, remedy):
    finding = doctor.check_threads(cores, all_cores, threads)
    assert finding.status == status and remedy in finding.remedy and bool(remedy) == bool(finding.remedy)


@pytest.mark.parametrize(('text', 'cores'), [('150000 100000\n', 2), ('10000 100000', 1), ('max 100000', None)])
def test_quota_of_a_container(text, cores, tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: range(16), raising=False)
    (tmp_path / 'cpu.max').write_text(text)
    assert doctor.available_cores(tmp_path / 'cpu.max') == (cores or 16)
    assert doctor.available_cores(tmp_path / 'absent') == 16


def test_folder_without_space_or_rights(tmp_path, monkeypatch):
    usage = namedtuple('usage', 'free')
    monkeypatch.setattr(doctor.shutil, 'disk_usage', lambda _: usage(2**30))
    finding = doctor.check_folder(tmp_path)
    assert finding.status == NOTE and '1.0 GiB free' in finding.found and 'free some space' in finding.remedy
    monkeypatch.setattr(doctor.shutil, 'disk_usage', lambda _: usage(2**40))
    assert doctor.check_folder(tmp_path).status == OK

    def refuse(**_):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(doctor.tempfile, 'TemporaryFile', refuse)
    finding = doctor.check_folder(tmp_path)
    assert finding.status == NOTE and 'Permission denied' in finding.found and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('python', 'status'), [((3, 9, 1), BROKEN), ((3, 10, 0), OK), ((3, 12, 9), OK), ((3, 13, 0), NOTE)]
)
def test_python(python, status, monkeypatch):
    monkeypatch.setattr(sys, 'version_info', python)
    finding = next(doctor.check_machine())
    assert finding.status == status and bool(finding.remedy) == (status != OK)


@pytest.mark.parametrize('error', [ImportError('libGL.so.1: no such file\nmore'), OSError('lib'), SystemExit(3)])
def test_whatever_a_check_raises_is_shown(error):
    def check():
        yield Finding('first', OK, 'x')
        raise error

    first, second = doctor.guarded('part', check)
    assert first.part == 'first' and (second.part, second.status) == ('part', BROKEN)
    assert type(error).__name__ in second.found and '\n' not in second.found


@pytest.mark.parametrize('module', ['torch', 'torchvision.ops'])
def test_broken_pytorch(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    (finding,) = doctor.check_torch()
    assert finding.status == BROKEN and module in finding.found and 'together' in finding.remedy


def test_driver_that_pytorch_cannot_use(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(doctor.shutil, 'which', lambda name: '/usr/bin/nvidia-smi')
    gpu = by_part(doctor.check_torch())['GPU']
    assert gpu.status == NOTE and 'not usable' in gpu.found
    monkeypatch.setattr(doctor.shutil, 'which', lambda name: None)
    assert by_part(doctor.check_torch())['GPU'].status == OK


@pytest.mark.parametrize('fails', [True, False])
def test_gpus_are_named_and_tried(fails, monkeypatch):
    import torch

    facts = namedtuple('facts', 'name total_memory')('GPU of the test', 24 * 2**30)
    ones = torch.ones

    def on_gpu(*size, device=None, **_):
        if fails and device:
            raise RuntimeError('CUDA error: no kernel image is available\nmore')
        return ones(*size)

    for name, value in {'is_available': True, 'device_count': 1, 'is_bf16_supported': True}.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda index: facts)
    monkeypatch.setattr(torch.cuda, 'device', lambda index: doctor.contextlib.nullcontext())
    monkeypatch.setattr(torch, 'ones', on_gpu)
    gpu = by_part(doctor.check_torch())['GPU 0']
    assert gpu.found.startswith('GPU of the test, 24 GiB, bf16') and gpu.status == (BROKEN if fails else OK)
    assert ('no kernel image' in gpu.found) == fails


@pytest.mark.parametrize('op', ['nms', 'roi_align'])
def test_wrong_operations(op, monkeypatch):
    import mmcv.ops

    right = getattr(mmcv.ops, op)
    wrong = {'nms': lambda *a: (right(*a)[0], right(*a)[1][:1]), 'roi_align': lambda *a: 2 * right(*a)}
    monkeypatch.setattr(mmcv.ops, op, wrong[op])
    (finding,) = doctor_runs.check_ops()
    assert finding.status == BROKEN and 'reinstall mmcv' in finding.remedy


def test_operations_that_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmcv.ops', None)
    (finding,) = doctor.guarded('ops', doctor_runs.check_ops)
    assert finding.status == BROKEN and 'mmcv.ops' in finding.found


def test_plugin_that_cannot_be_imported(monkeypatch, without_runs):
    def fail():
        raise ImportError('no module named lightly\nmore')

    found = by_part(doctor.examine(fail, train=True))
    for part in ('plugin', 'ops', 'training'):
        assert found[part].status == BROKEN and found[part].found == 'ImportError: no module named lightly'


@pytest.mark.parametrize('has_rich', [True, False])
def test_printed_for_people(has_rich, without_runs, monkeypatch, capsys):
    if not has_rich:
        monkeypatch.setitem(sys.modules, 'rich.console', None)
    findings = [Finding('[umap]', OPTIONAL, 'not installed', "pip install 'umap-learn>=0.5'"), Finding('a', OK, 'b')]
    monkeypatch.setattr(doctor, 'examine', lambda load_runs, train: findings)
    assert doctor.main([], lambda: doctor_runs) == 0
    out = capsys.readouterr().out
    assert '[umap]' in out and "pip install 'umap-learn>=0.5'" in out and 'Ready: ' in out
    findings.append(Finding('torch', BROKEN, 'x'))
    assert doctor.main([], lambda: doctor_runs) == 1
    assert capsys.readouterr().out.endswith('Broken: torch.\n')


def test_nothing_at_all_is_installed(tmp_path):
    """Of a bare Python without site-packages, which has no torch, no packaging and no metadata of this package."""
    run = subprocess.run(
        [sys.executable, '-S', '-c', f'import sys; sys.path.append({str(ROOT)!r}); from uscl import cli; cli.main()',
         'doctor', '--json'],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    result = json.loads(run.stdout)
    assert result['ok'] is False and run.stderr == ''
    statuses = {finding['part']: finding['status'] for finding in result['findings']}
    assert statuses['family'] == statuses['torch'] == statuses['packages'] == BROKEN and statuses['Python'] == OK


def test_training_that_fails(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, '', 'Traceback\nValueError: no such thing\n')
    monkeypatch.setattr(doctor_runs.subprocess, 'run', lambda *args, **kwargs: failed)
    (finding,) = doctor_runs.check_training()
    assert finding.status == BROKEN and finding.found == 'exit status 1: ValueError: no such thing'
