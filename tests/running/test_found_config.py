"""A config that lies in a folder is read, not run."""

import pytest
from mmengine.config import Config

from uscl.core.errors import SourceError
from uscl_plugin.running.found_config import read_found_config

RUN = "__import__('pathlib').Path({!r}).touch()"
PLANTED = [
    'a = {run}\n',
    '{run}\n',
    'import os\n',
    'from os import system as a\n',
    'a = dict(b={run})\n',
    "a = [{run} for _ in 'x']\n",
    "a = f'{{{run}}}'\n",
    "_base_ = open('./other.py')\n",
    'a = dict(**dict(b={run}))\n',
    'a = dict({run})\n',
    'def f():\n    {run}\n',
    'a = b = {run}\n',
    'class A: a = {run}\n',
    'if True:\n    {run}\n',
    'a: int = {run}\n',
    'a = eval\n',
    'a = (lambda: {run})()\n',
    "a = {{'b': {run}}}\n",
    'a = dict(b=dict)\n',
    'dict = print\n',
    'a[{run}] = 1\n',
    'a += {run}\n',
    'del a\n',
    'a = 1 if {run} else 2\n',
]
NAMED = [
    dict(type='subprocess.call', args='touch {file}', shell=True), dict(type='os.system', command='touch {file}'),
    dict(type='builtins.eval'), dict(type='mmengine.utils.call_command'), dict(type='mmengine.call_command'),
    dict(type='mmpretrain.os.system'), dict(type='NoSuchPart'), dict(type=7), dict(type='ResNet', _scope_='evil'),
    [[dict(a=dict(type='os.system'))]],
]  # fmt: skip


def dumped(run_config, tmp_path, **changes):
    cfg = run_config()
    cfg.merge_from_dict(changes)
    cfg.dump(tmp_path / 'config.py')
    return cfg, tmp_path / 'config.py'


def test_what_was_dumped_is_read_as_it_was(run_config, tmp_path):
    cfg, path = dumped(run_config, tmp_path, note={'a.b': (1, -2.5), 'c': [None, True, "it's\n"], 'type': 'ResNet'})
    read = read_found_config(path)
    assert read.to_dict() == Config.fromfile(path).to_dict() and read.model.to_dict() == cfg.model.to_dict()


@pytest.mark.parametrize('text', PLANTED)
def test_code_is_not_executed(run_config, tmp_path, text):
    _, path = dumped(run_config, tmp_path)
    trace = tmp_path / 'trace'
    path.write_text(path.read_text() + text.format(run=RUN.format(str(trace))))
    with pytest.raises(SourceError, match=r'config\.py holds code \(line \d+ is no literal\)'):
        read_found_config(path)
    assert not trace.exists()


@pytest.mark.parametrize('part', NAMED, ids=range(len(NAMED)))
def test_parts_have_to_be_registered(run_config, tmp_path, part):
    _, path = dumped(run_config, tmp_path, custom_hooks=[part])
    with pytest.raises(SourceError, match=r'config\.py names .* which is no registered part'):
        read_found_config(path)


@pytest.mark.parametrize('changes', [{'custom_imports.imports': ['antigravity']}, {'default_scope': 'evil'}])
def test_no_other_module_is_imported(run_config, tmp_path, changes):
    _, path = dumped(run_config, tmp_path, **changes)
    with pytest.raises(SourceError, match=r'config\.py names .* which is no registered part'):
        read_found_config(path)
