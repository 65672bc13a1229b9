"""`uscl`: every tool is a subcommand, starts fast, and means the config that the user means."""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from tool_module import load_tool

from uscl import cli
from uscl.cli import COMMANDS, KINDS, OWN, list_tools, with_config
from uscl.core.command_line import command_line
from uscl.core.shipped_files import CONFIGS, TOOLS, find_shipped_config, list_configs, shipped_root
from uscl.options.evaluation_options import PROBE_PROTOCOLS


@pytest.fixture
def calls(monkeypatch):
    """What `uscl` would run: (command, tool, arguments)."""
    calls = []
    monkeypatch.setattr(
        cli, 'run_tool', lambda command, path, argv: calls.append((command, path.relative_to(TOOLS).as_posix(), argv))
    )
    return calls


def run_uscl(*arguments, setup='', cwd=None, **environment):
    """Run `uscl` in a process of its own, after `setup`; standard error gets what was imported, last."""
    code = f"""if True:
    import sys
    {setup}
    from uscl import cli
    sys.argv = ['uscl', *{arguments!r}]
    try:
        status = cli.main()
    finally:
        print(*sorted(sys.modules), file=sys.stderr)
    sys.exit(status)"""
    environment = os.environ | {'PYTHONPATH': str(TOOLS.parent)} | environment
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=cwd, env=environment)


@pytest.mark.parametrize('arguments', [['--help'], ['configs'], ['train', '--help'], ['--version'], ['no-such']])
def test_starts_without_what_takes_seconds(arguments, tmp_path):
    run = run_uscl(*arguments, cwd=tmp_path)
    assert run.returncode == (2 if arguments == ['no-such'] else 0)
    imported = set(run.stderr.splitlines()[-1].split())
    assert 'uscl.cli' in imported
    assert not imported & {'torch', 'numpy', 'mmengine', 'rich', 'cv2', 'uscl_plugin'}


HOSTS = ('mmcv', 'mmdet', 'mmengine', 'mmpretrain', 'uscl_plugin')
SLOW = ('cv2', 'matplotlib', 'scipy', 'sklearn', 'torch')


@pytest.mark.parametrize(('option', 'status'), [('--help', 0), ('--no-such-option', 2)])
def test_help_and_wrong_options_need_no_host(option, status, tmp_path):
    """All commands in one process, which then has taken less than one of them may."""
    commands = [[name] for name in (*list_tools(), 'doctor', 'configs')]
    commands += [[name, kind] for name, kinds in KINDS.items() for kind in kinds]
    if status:
        commands = [command for command in commands if command[0] not in ('train', 'test')]  # the hosts' own options
    code = f"""if True:
    import sys, time
    from uscl import cli
    for command in {commands!r}:
        try:
            found = cli.main([*command, {option!r}])
        except SystemExit as stop:
            found = stop.code
        assert found == {status}, (command, found)
        assert not (slow := set({(*HOSTS, *SLOW)!r}) & set(sys.modules)), (command, slow)
    print(time.process_time())
    """
    environment = os.environ | {'PYTHONPATH': str(TOOLS.parent)}
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stderr[-1000:]
    assert len(commands) > 25 and float(run.stdout.split()[-1]) < 0.5 + 0.02 * len(commands)  # parsers beside imports


def test_choices_are_those_of_the_parts():
    """They stand beside the options, so that no part has to be imported for them."""
    from uscl.checks.duplicates import THRESHOLD
    from uscl.reports import embedding_map
    from uscl_plugin.evaluation import gradcam
    from uscl_plugin.evaluation.probes import PROBES
    from uscl_plugin.weights.backbone_export import TARGETS
    from uscl_plugin.weights.official_import import CLASSIFIERS

    export = load_tool(TOOLS / 'model_converters/export_backbone.py')

    def choices(tool, options, name):
        return get_args(get_type_hints(getattr(load_tool(TOOLS / tool), options))[name])

    assert choices('visualization/embeddings.py', 'EmbeddingOptions', 'method') == embedding_map.METHODS
    assert choices('visualization/embeddings.py', 'EmbeddingOptions', 'color') == tuple(embedding_map.GROUPINGS)
    assert choices('visualization/gradcam.py', 'GradcamOptions', 'method') == tuple(gradcam.METHODS)
    assert choices('model_converters/export_backbone.py', 'Options', 'to') == (*TARGETS, *export.WHOLE)
    assert choices('model_converters/import_official.py', 'Options', 'classifier') == CLASSIFIERS
    assert load_tool(TOOLS / 'analysis/check_dataset.py').CheckOptions(data=[]).threshold == THRESHOLD
    assert tuple(PROBES) == PROBE_PROTOCOLS


@pytest.mark.parametrize('where', ['', 'def main(argv): '])
def test_a_tool_that_cannot_import_its_parts_points_to_the_doctor(where, tmp_path, capsys):
    tool = tmp_path / 'tool.py'
    tool.write_text(f'{where}import no_such_part\n')
    assert cli.run_tool('uscl tool', tool, []) == 1
    assert 'uscl doctor' in capsys.readouterr().err


def users_tools():
    """All but the instruments of developers."""
    return [path for path in TOOLS.rglob('*.py') if TOOLS / 'benchmarks' not in path.parents]


def test_help_has_a_line_for_every_tool(capsys):
    assert cli.main(['--help']) == 0
    text = capsys.readouterr().out
    for name in [*COMMANDS, *OWN]:
        assert f'\n  {name:<10}' in text
    assert set(list_tools().values()) == set(users_tools())
    assert all(len(line) <= 100 for line in text.splitlines())
    assert '\n  evaluate  Evaluate backbones on labelled clips by patient-wise cross-validation' in text


def test_names_of_tools_do_not_clash():
    stems = [path.stem for path in users_tools()]
    assert len(set(stems)) == len(stems)
    assert not set(OWN) & set(list_tools())
    kinds = [path for paths in KINDS.values() for path in paths.values()]
    assert all((TOOLS / path).is_file() for path in [*COMMANDS.values(), *kinds])
    clashes = {name for name, path in list_tools().items() if name in COMMANDS and path != TOOLS / COMMANDS[name]}
    assert not clashes


@pytest.mark.parametrize('name', sorted(set(list_tools()) - {'train', 'test'}))
def test_help_of_a_tool_has_the_name_of_the_command(name, capsys):
    before = sys.argv
    with pytest.raises(SystemExit) as stop:
        cli.main([name, '--help'])
    assert stop.value.code == 0 and sys.argv is before
    assert f'usage: uscl {name} ' in capsys.readouterr().out


@pytest.mark.parametrize(('name', 'checkpoint'), [('train', ''), ('test', ' CHECKPOINT')])
def test_help_of_a_hosts_tool(name, checkpoint, capsys):
    assert cli.main([name, '--help']) == 0
    assert f'usage: uscl {name} CONFIG{checkpoint} [' in capsys.readouterr().out
    assert cli.main([name]) == 2


@pytest.mark.parametrize(
    ('arguments', 'command', 'tool', 'rest'),
    [
        (['SRC', '--out', 'D'], 'convert', 'videos_to_clusters', ['SRC', '--out', 'D']),
        (['clips', 'SRC'], 'convert clips', 'videos_to_clusters', ['SRC']),
        (['us4', 'SRC', '--out', 'D'], 'convert us4', 'us4', ['SRC', '--out', 'D']),
        (['lesions', 'busi', 'SRC'], 'convert lesions', 'lesions_to_coco', ['busi', 'SRC']),
        (['pocus', '--help'], 'convert pocus', 'pocus', ['--help']),
        (['pocus', '--out', 'D'], 'convert', 'videos_to_clusters', ['pocus', '--out', 'D']),  # a folder named pocus
        (['us4', '--out', 'D', 'SRC'], 'convert us4', 'us4', ['--out', 'D', 'SRC']),
        (['pocus', ''], 'convert pocus', 'pocus', ['']),
        (['--out', 'D', 'pocus'], 'convert', 'videos_to_clusters', ['--out', 'D', 'pocus']),
        (['us4'], 'convert us4', 'us4', []),
    ],
)
def test_kinds_of_sources(calls, arguments, command, tool, rest, tmp_path, monkeypatch):
    (tmp_path / 'pocus').mkdir()
    monkeypatch.chdir(tmp_path)
    cli.main(['convert', *arguments])
    assert calls == [(f'uscl {command}', f'dataset_converters/{tool}.py', rest)]


@pytest.mark.parametrize(
    ('arguments', 'command', 'tool', 'rest'),
    [
        (['SRC', 'OUT'], 'import', 'backbone', ['SRC', 'OUT']),
        (['backbone', 'SRC', 'OUT'], 'import backbone', 'backbone', ['SRC', 'OUT']),
        (['official', 'SRC', 'OUT'], 'import official', 'official', ['SRC', 'OUT']),
        (['imagenet', 'OUT'], 'import imagenet', 'imagenet', ['OUT']),
    ],
)
def test_kinds_of_weights(calls, arguments, command, tool, rest):
    cli.main(['import', *arguments])
    assert calls == [(f'uscl {command}', f'model_converters/import_{tool}.py', rest)]


@pytest.mark.parametrize(
    ('name', 'similar'), [('convrt', 'convert'), ('gradcm', 'gradcam'), ('docter', 'doctor'), ('xyzzy', '')]
)
def test_unknown_command(name, similar, capsys):
    assert cli.main([name, '--out', 'x']) == 2
    error = capsys.readouterr().err
    assert f'no command {name}' in error and error.count('\n') == 1
    assert ('did you mean' in error) == bool(similar) and similar in error


@pytest.mark.parametrize('status', [0, 1, 3])
def test_status_of_a_tool_passes_through(status, tmp_path, monkeypatch):
    path = tmp_path / 'some.py'
    path.write_text(f'"""Do it."""\ndef main(argv=None):\n    return {status} if argv == ["a"] else 9\n')
    monkeypatch.setattr(cli, 'list_tools', lambda: {'some': path})
    assert cli.main(['some', 'a']) == status


def test_interrupted(calls, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, 'run_tool', interrupt)
    assert cli.main(['check', 'data']) == 130
    assert capsys.readouterr().err == 'interrupted.\n'


# What `uscl` can be told about is that no OpenMMLab package is there; the import of PyTorch is spared.
BROKEN = 'import importlib.metadata as m; f = m.version; m.version = lambda n: f("no-such" if "mm" in n else n); '


def test_environment_in_which_nothing_can_run(tmp_path):
    run = run_uscl('evaluate', 'random', '--data', 'data', '--out', 'out', setup=BROKEN, cwd=tmp_path)
    assert run.returncode == 1
    error = run.stderr.splitlines()
    assert error[0].startswith('error: no OpenMMLab packages') and 'uscl doctor' in error[1]
    assert len(error) == 3  # the third is of run_uscl


def test_configs_are_listed_by_names_that_train_understands(capsys):
    assert cli.main(['configs']) == 0
    names = capsys.readouterr().out.split()
    assert len(names) > 50 and not any(name.startswith('_base_') for name in names)
    assert [find_shipped_config(name) for name in names] == list_configs()
    assert cli.main(['configs', 'demo', '--path']) == 0
    assert str(CONFIGS / 'uscl' / 'uscl_resnet18_demo.py') in capsys.readouterr().out.split()
    assert cli.main(['configs', 'no-such']) == 1
    assert cli.main(['configs', '--paths']) == 2


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder of configs beside the current one, which has a config `mine.py`."""
    for name in ('a/one.py', 'a/two.py', 'b/two.py', '_base_/base.py'):
        path = tmp_path / 'shipped' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('')
    (tmp_path / 'here').mkdir()
    (tmp_path / 'secret.py').write_text('')
    monkeypatch.chdir(tmp_path / 'here')
    Path('mine.py').write_text('')
    return tmp_path / 'shipped'


@pytest.mark.parametrize(
    ('name', 'found'),
    [
        ('one', 'a/one.py'),
        ('one.py', 'a/one.py'),
        ('a/one', 'a/one.py'),
        ('configs/a/one.py', 'a/one.py'),
        ('b/two', 'b/two.py'),
        ('_base_/base.py', '_base_/base.py'),
    ],
)
def test_config_by_name(shipped, name, found):
    assert find_shipped_config(name, shipped) == shipped / found


def test_a_file_of_the_user_comes_first(shipped):
    assert find_shipped_config('mine.py', shipped) == Path('mine.py')
    Path('one.py').write_text('')
    assert find_shipped_config('one.py', shipped) == Path('one.py')
    Path('configs/a').mkdir(parents=True)
    Path('configs/a/one.py').write_text('')
    assert find_shipped_config('configs/a/one.py', shipped) == Path('configs/a/one.py')
    Path('two').mkdir()  # a work folder, not a config
    with pytest.raises(ValueError, match=r'^two .*a/two.py, b/two.py'):
        find_shipped_config('two', shipped)


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('two', 'a/two.py, b/two.py'),
        ('onne', 'did you mean one?'),
        ('base', 'base is neither'),
        ('../secret', '../secret is neither'),
        ('mine', 'mine is neither'),
    ],
)
def test_no_config_or_several(shipped, name, text):
    with pytest.raises(ValueError) as error:
        find_shipped_config(name, shipped)
    assert text in str(error.value) and '\n' not in str(error.value)


DEMO = str(CONFIGS / 'uscl' / 'uscl_resnet18_demo.py')


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['uscl_resnet18_demo', '--work-dir', 'w'], [DEMO, '--work-dir', 'w']),
        (['--work-dir', 'w', 'uscl_resnet18_demo.py'], ['--work-dir', 'w', DEMO]),
        (['uscl_resnet18_demo', 'other.py'], [DEMO, 'other.py']),
        (['--cfg-options', 'a=no.py'], ['--cfg-options', 'a=no.py']),
        (['--work-dir', 'uscl_resnet18_demo'], ['--work-dir', 'uscl_resnet18_demo']),
    ],
)
def test_config_among_arguments(arguments, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert with_config(arguments) == expected


def test_train_of_no_config(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['train', 'uscl_resnet18_dem']) == 2
    assert 'did you mean uscl_resnet18_demo' in capsys.readouterr().err


def test_wheel_and_clone_have_their_own_configs(tmp_path):
    mim = tmp_path / 'uscl_plugin' / '.mim'
    assert shipped_root(mim) == tmp_path
    (mim / 'configs').mkdir(parents=True)
    assert shipped_root(mim) == mim


@pytest.mark.parametrize(
    'called, argv, expected',
    [
        ('tools/evaluate.py', None, 'python tools/evaluate.py random --data'),
        ('/some/where/evaluate.py', ['a b', '--out'], "python tools/evaluate.py 'a b' --out"),
        ('uscl evaluate', None, 'uscl evaluate random --data'),
        ('uscl evaluate', ['a b'], "uscl evaluate 'a b'"),
    ],
)
def test_a_page_names_the_command_as_it_was_called(called, argv, expected, monkeypatch):
    monkeypatch.setattr(sys, 'argv', [called, 'random', '--data'])
    assert command_line('tools/evaluate.py', argv) == expected


def test_every_tool_takes_the_arguments_of_uscl():
    for path in list_tools().values():
        if path.parent != TOOLS or path.stem not in ('train', 'test'):  # those are the hosts'
            assert list(inspect.signature(load_tool(path).main).parameters) == ['argv'], path
