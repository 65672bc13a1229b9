"""The locks and the page of licences are in step with what setup.py asks for and with what was tested."""

import json
import re
import runpy
from importlib.metadata import PackageNotFoundError

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tool_module import load_tool

ENVIRONMENT = {
    'python_version': '3.11', 'python_full_version': '3.11.9', 'sys_platform': 'linux', 'platform_machine': 'x86_64',
    'platform_system': 'Linux', 'os_name': 'posix', 'implementation_name': 'cpython', 'extra': '',
    'platform_python_implementation': 'CPython',
}  # fmt: skip
FAMILIES = ('onedl', 'openmmlab')
EXTRAS = ('dicom', 'dicom-out', 'stacks', 'export', 'cluster')


def pins(path):
    """Name → version, and name → hashes, of a lock."""
    versions, hashes = {}, {}
    for entry in re.split(r'\n(?=\S)', path.read_text()):
        if not entry.startswith('#'):
            name, version = re.match(r'(\S+)==(\S+)', entry).groups()
            versions[name] = version
            hashes[name] = re.findall(r'--hash=sha256:([0-9a-f]{64})\b', entry)
    return versions, hashes


@pytest.fixture
def asked_for(root, monkeypatch):
    """The arguments of setup()."""
    found = {}
    monkeypatch.setattr(setuptools, 'setup', found.update)
    runpy.run_path(str(root / 'setup.py'))
    return found


@pytest.mark.parametrize('family', FAMILIES)
def test_a_lock_has_everything_that_is_asked_for(root, asked_for, family):
    versions, hashes = pins(root / 'locks' / f'{family}-linux-py311.txt')
    extras = asked_for['extras_require']
    wanted = map(
        Requirement, [*asked_for['install_requires'], *(e for name in (family, *EXTRAS) for e in extras[name])]
    )
    for each in wanted:
        assert each.specifier.contains(versions[canonicalize_name(each.name)]), each
    assert all(hashes.values()) and hashes.keys() == versions.keys()


@pytest.mark.parametrize('family', FAMILIES)
def test_a_lock_has_the_versions_that_were_tested(root, family):
    versions, _ = pins(root / 'locks' / f'{family}-linux-py311.txt')
    tested = {}
    for line in (root / 'requirements' / f'constraints-{family}.txt').read_text().splitlines():
        if line and line[0] != '#':
            each = Requirement(line)
            if each.marker is None or each.marker.evaluate(ENVIRONMENT):
                tested[canonicalize_name(each.name)] = str(each.specifier).removeprefix('==')
    assert versions.items() <= tested.items()


@pytest.mark.parametrize('family', FAMILIES)
def test_a_lock_names_no_place(root, family):
    path = root / 'locks' / f'{family}-linux-py311.txt'
    comment, *lines = path.read_text().splitlines()
    assert 'Linux' in comment and '3.11' in comment
    assert not [
        line for line in lines if not re.fullmatch(r'[a-z0-9.-]+==\S+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?', line)
    ]


def test_the_page_of_licences_has_what_the_lock_has(root):
    versions, _ = pins(root / 'locks' / 'onedl-linux-py311.txt')
    rows = re.findall(
        r'^\| (\S+) \| (\S+) \| (.+?) \| \S+ \|$', (root / 'docs' / 'licences.md').read_text(), re.MULTILINE
    )
    listed = {name: version for name, version, _ in rows if name not in ('Package', '---')}
    assert listed == versions
    assert all('UNKNOWN' not in licence for *_, licence in rows)


def test_the_bill_of_materials_is_whole(root, tmp_path):
    tool = load_tool('locks/list_dependencies.py')
    try:
        tool.list_dependencies()
    except PackageNotFoundError as error:
        pytest.skip(f'{error.name} is not installed')
    assert tool.main(['--sbom', str(tmp_path / 'sbom.json')]) == 0
    bill = json.loads((tmp_path / 'sbom.json').read_text())
    refs = {each['bom-ref'] for each in bill['components']}
    assert len(refs) == len(bill['components']) and bill['specVersion'] == '1.5'
    own, *others = bill['dependencies']
    assert own['ref'] == bill['metadata']['component']['bom-ref'] and {each['ref'] for each in others} == refs
    reached, waiting = set(), list(own['dependsOn'])
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += next(each['dependsOn'] for each in others if each['ref'] == ref)
    assert reached == refs
    assert all(each['licenses'][0]['license']['name'] for each in bill['components'])


def test_nothing_to_write(capsys):
    assert load_tool('locks/list_dependencies.py').main([]) == 1
    assert '--page FILE, --sbom FILE' in capsys.readouterr().err
