import runpy
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import pytest

from uscl_plugin.running import host_tools
from uscl_plugin.running.host_tools import find_config, host_tool, run_host_tool

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def fake_host(tmp_path, monkeypatch):
    """A host package whose tool writes down its arguments; returns a function that makes a config for a scope."""
    tool = tmp_path / 'fakehost' / '.mim' / 'tools' / 'train.py'
    tool.parent.mkdir(parents=True)
    (tmp_path / 'fakehost' / '__init__.py').write_text("raise RuntimeError('the host was imported to find its tools')")
    tool.write_text(
        'import sys\nfrom pathlib import Path\n'
        "assert __name__ == '__main__'\n"
        "Path(sys.argv[1]).with_suffix('.seen').write_text(repr((__file__, sys.argv)))\n"
        "if '--fail' in sys.argv: sys.exit(7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(host_tools.HOSTS, 'fakehost', 'fakehost')
    monkeypatch.setitem(host_tools.HOSTS, 'absent_host', 'absent-host')

    def config(scope):
        path = tmp_path / 'config.py'
        path.write_text(
            f"custom_imports = dict(imports=['no_such_module'])\ndefault_scope = {scope!r}\n"
            "custom_hooks = [dict(type='PlainCheckpointHook')]\n"
        )
        return path

    return config


def test_host_tool_runs_here_with_its_arguments(fake_host, tmp_path):
    config, before = str(fake_host('fakehost')), sys.argv
    arguments = [config, '--work-dir', 'x', '--cfg-options', 'a.b=1', 'c="d.py"']
    assert run_host_tool('train', arguments) == 0
    tool = str(tmp_path / 'fakehost' / '.mim' / 'tools' / 'train.py')
    assert (tmp_path / 'config.seen').read_text() == repr((tool, [tool, *arguments]))
    assert sys.argv is before


def test_status_of_the_host_tool_passes_through(fake_host):
    before = sys.argv
    with pytest.raises(SystemExit) as stop:
        run_host_tool('train', [str(fake_host('fakehost')), '--fail'])
    assert stop.value.code == 7 and sys.argv is before


@pytest.mark.parametrize(
    ('error', 'text'),
    [
        ('CheckpointError("a.pth is damaged: copy it again.")', 'error: a.pth is damaged: copy it again.'),
        ('RuntimeError("DataLoader worker (pid(s) 3, 4) exited unexpectedly")', 'error: a process that loads data was'),
        (
            'RuntimeError("[a/gloo/transport/tcp/pair.cc:545] Read error [::1]:1: Connection reset by peer. This")',
            'error: another process of this run ended or hangs (Connection reset by peer): ',
        ),
        (
            'torch.distributed.DistNetworkError("x")',
            'error: another process of this run ended or hangs (DistNetworkErr',
        ),
        ('RuntimeError("a mistake")', None),
    ],
)
def test_what_ends_a_run_is_one_line(fake_host, tmp_path, capsys, error, text):
    tool = tmp_path / 'fakehost' / '.mim' / 'tools' / 'train.py'
    tool.write_text(f'import torch\nfrom uscl_plugin.weights.checkpoint_error import CheckpointError\nraise {error}\n')
    if text is None:
        with pytest.raises(RuntimeError, match='a mistake'):
            run_host_tool('train', [str(fake_host('fakehost'))])
        return
    assert run_host_tool('train', [str(fake_host('fakehost'))]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(text) and shown.count('\n') == 1


def test_options_of_this_package_become_options_of_the_config(fake_host, tmp_path, capsys):
    config = fake_host('fakehost')
    assert run_host_tool('train', [str(config), '--data-changed']) == 1
    assert 'config.py has no default_hooks.provenance' in capsys.readouterr().err
    config.write_text(
        "default_scope = 'fakehost'\ndefault_hooks = dict(provenance=dict(type='ProvenanceHook'))\n"  # and no other
    )
    assert run_host_tool('train', [str(config), '--data-changed', '--resume']) == 0
    assert literal_eval((tmp_path / 'config.seen').read_text())[1][1:] == [
        *(str(config), '--resume', '--cfg-options'),
        'default_hooks.plain_checkpoint.type=PlainCheckpointHook',
        'default_hooks.provenance.data_changed=True',
    ]


@pytest.mark.parametrize(
    ('scope', 'text'),
    [
        ('mmseg', "default_scope 'mmseg', expected one of mmpretrain, mmdet"),
        (None, 'default_scope None'),
        ('absent_host', 'absent_host is not installed: install it, for example with pip install absent-host'),
    ],
)
def test_unusable_scope(fake_host, capsys, scope, text):
    assert run_host_tool('train', [str(fake_host(scope))]) == 1
    error = capsys.readouterr().err
    assert text in error and error.count('\n') == 1


def test_host_without_this_tool(fake_host, capsys, tmp_path):
    assert run_host_tool('test', [str(fake_host('fakehost')), 'a.pth']) == 1
    error = capsys.readouterr().err
    assert 'installed without its tools' in error and str(tmp_path) in error and error.count('\n') == 1


@pytest.mark.parametrize(
    ('arguments', 'text'), [(['none.py'], 'none.py does not exist'), ([], 'no config'), (['--amp'], 'no config')]
)
def test_no_config(capsys, arguments, text):
    assert run_host_tool('train', arguments) == 1
    error = capsys.readouterr().err
    assert text in error and error.count('\n') == 1


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_help_without_config(capsys, tool):
    assert run_host_tool(tool, ['--help']) == 0
    assert f'usage: {tool}.py CONFIG' in capsys.readouterr().out


def test_config_is_found_behind_options():
    assert find_config(['--work-dir', 'out', '--cfg-options', 'a=b.py', 'c.py', 'd.py']) == Path('c.py')


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet'])
@pytest.mark.parametrize('tool', ['train', 'test'])
def test_installed_hosts_have_the_tools(scope, tool):
    path = host_tool(scope, tool)
    assert path.is_file() and path.parts[-4:] == (scope, '.mim', 'tools', f'{tool}.py')


@pytest.fixture
def command_line(monkeypatch, capsys):
    """A function that runs a script of tools/ as from a shell, but in this process; its standard output."""

    def run(tool, *arguments):
        monkeypatch.setattr(sys, 'argv', [str(TOOLS / tool), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(sys.argv[0], run_name='__main__')
        assert not ended.value.code
        return capsys.readouterr().out

    return run


def test_command_line_reaches_mmpretrain(command_line, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text("default_scope = 'mmpretrain'\n")
    out = command_line('train.py', config, '--help')
    assert '--auto-scale-lr' in out and '--launcher' in out


def test_command_line_of_testing_is_its_own(command_line):
    assert 'usage: test.py CONFIG CKPT' in command_line('test.py', '--help')


@pytest.mark.parametrize('asks', [True, False])
def test_stand_in_is_there_before_the_tool(fake_host, tmp_path, monkeypatch, asks):
    name = f'stand_in_{asks}'
    (tmp_path / f'{name}.py').write_text('')
    tool = tmp_path / 'fakehost' / '.mim' / 'tools' / 'train.py'
    tool.write_text(
        'import sys\nfrom pathlib import Path\n'
        f'Path(sys.argv[1]).with_suffix(".seen").write_text(str({name!r} in sys.modules))'
    )
    monkeypatch.setattr(host_tools, 'STAND_IN', name)
    config = fake_host('fakehost')
    if asks:
        config.write_text(config.read_text().replace("'no_such_module'", f"'no_such_module', {name!r}"))
    assert run_host_tool('train', [str(config)]) == 0
    assert (tmp_path / 'config.seen').read_text() == str(asks)


@pytest.mark.slow  # a process of its own: elsewhere the stand-in has been imported
def test_command_line_reaches_mmdetection_without_compiled_ops(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        "custom_imports = dict(imports=['uscl_plugin', 'uscl_plugin.compat.mmcv_ops'])\ndefault_scope = 'mmdet'\n"
    )
    command = [sys.executable, TOOLS / 'test.py', config, '--help']
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert '--show-dir' in out and '--tta' in out
