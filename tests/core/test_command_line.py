"""One wrapper for every tool: what is one line and a status, what stays a traceback."""

import ast
import os
import signal
import time

import pytest
from torch.utils.data import DataLoader, Dataset

from uscl.core.command_line import as_command, use_device
from uscl.core.errors import ClipError, FolderInUseError, SourceError


def failing(error, **options):
    @as_command(**options)
    def main(argv=None):
        raise error

    return main


@pytest.mark.parametrize(
    'error, line',
    [
        (SourceError('no such folder: give another.', exit_code=1), 'no such folder: give another.'),
        (ClipError('a.mp4', 'is cut off'), 'a.mp4: is cut off'),
        (FolderInUseError('out is in use: wait.'), 'out is in use: wait.'),
        (FileNotFoundError(2, 'No such file', 'a.json'), "[Errno 2] No such file: 'a.json'"),
        (ValueError('the first\n  and the second line\n'), 'the first and the second line'),
        (ValueError(), 'ValueError'),
        (
            ValueError(
                'Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n'
                '  File "a.py", line 1\nValueError: a.png is damaged\n'
            ),
            'ValueError: a.png is damaged',
        ),
    ],
)
def test_what_can_be_mended_is_one_line(error, line, capsys):
    assert failing(error)() == 1
    assert capsys.readouterr() == ('', f'error: {line}\n')


class Slowly(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        time.sleep(0.02)
        return index


@pytest.mark.parametrize('kill', [False, True])
def test_a_killed_loading_process_is_one_line(kill, capsys):
    @as_command()
    def main(argv=None):
        loaded = iter(DataLoader(Slowly(), num_workers=1))
        if kill:
            os.kill(loaded._workers[0].pid, signal.SIGKILL)
        return 0 if len(list(loaded)) == 8 else 5

    assert main() == kill
    error = capsys.readouterr().err
    assert error.count('\n') == kill
    assert (
        error.startswith('error: a process that loads data was killed') and '--workers' in error if kill else not error
    )


def test_statuses(capsys):
    assert failing(ValueError('x'), status=2)() == 2
    assert failing(SourceError('x'), status=3)() == 2
    assert failing(SourceError('x', exit_code=1), status=3)() == 1


@pytest.mark.parametrize('kept, line', [('', 'interrupted.'), ('half is kept.', 'interrupted: half is kept.')])
def test_ctrl_c_says_what_is_kept(kept, line, capsys):
    assert failing(KeyboardInterrupt(), kept=kept)() == 130
    assert capsys.readouterr().err == f'{line}\n'


@pytest.mark.parametrize('kind', [TypeError, KeyError, AttributeError, AssertionError, RuntimeError, BrokenPipeError])
def test_mistakes_of_the_program_and_a_reader_that_has_enough_pass(kind, capsys):
    with pytest.raises(kind):
        failing(kind('x'))()
    assert capsys.readouterr() == ('', '')


def test_arguments_results_and_exits_pass():
    @as_command()
    def main(argv=None):
        """What it does."""
        if argv is None:
            raise SystemExit(2)
        return len(argv)

    assert main(['a', 'b']) == 2 and main(argv=[]) == 0 and main.__doc__ == 'What it does.'
    with pytest.raises(SystemExit):
        main()


def test_every_tool_uses_it(root):
    tools = [path for path in root.glob('tools/**/*.py') if 'benchmarks' not in path.parts]
    seen = 0
    for path in tools:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == 'main':
                names = [ast.unparse(decorator).partition('(')[0] for decorator in node.decorator_list]
                assert names == ['as_command'], path
                seen += 1
    assert seen == len(tools) - 2 > 15  # train.py and test.py are the hosts'


@pytest.mark.parametrize(
    ('device', 'seen'), [('cpu', ''), ('cuda', '0'), ('cuda:3', '3'), (None, 'unchanged')], ids=str
)
def test_a_device_is_the_only_one_that_is_seen(monkeypatch, device, seen):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', 'unchanged')
    use_device(device)
    assert os.environ['CUDA_VISIBLE_DEVICES'] == seen


@pytest.mark.parametrize('device', ['gpu', 'cuda:x', 'CPU', ''])
def test_a_device_of_another_name_is_refused(monkeypatch, device):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', 'unchanged')
    with pytest.raises(ValueError, match='--device'):
        use_device(device)
    assert os.environ['CUDA_VISIBLE_DEVICES'] == 'unchanged'
