"""The ``uscl`` command: the tools of this package as subcommands, wherever it is installed."""

import importlib
import importlib.util
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from .core.shipped_files import CONFIGS, TOOLS, find_shipped_config, list_configs
from .version import __version__

# Tools with a short name; every tool is also a subcommand under its file name.
COMMANDS = {
    'pretrain': 'pretrain.py',
    'convert': 'dataset_converters/videos_to_clusters.py',
    'check': 'analysis/check_dataset.py',
    'train': 'train.py',
    'evaluate': 'evaluate.py',
    'finetune': 'finetune.py',
    'predict': 'predict.py',
    'compare': 'compare.py',
    'browse': 'visualization/browse_dataset.py',
    'cam': 'visualization/gradcam.py',
    'export': 'model_converters/export_backbone.py',
    'import': 'model_converters/import_backbone.py',
}
KINDS = {  # `uscl convert KIND SRC`: datasets with a special layout; `uscl import KIND …`: weights with one
    'convert': {
        'clips': COMMANDS['convert'],
        'us4': 'dataset_converters/us4.py',
        'pocus': 'dataset_converters/pocus.py',
        'lesions': 'dataset_converters/lesions_to_coco.py',
    },
    'import': {
        'backbone': COMMANDS['import'],
        'official': 'model_converters/import_official.py',
        'imagenet': 'model_converters/import_imagenet.py',
    },
}
OWN = {
    'configs': 'List the shipped configs; `uscl configs WORD` lists those that contain WORD, --path shows paths.',
    'doctor': 'Show what works here and what to install: versions, GPU, operations, optional parts.',
}
DEVELOPERS = ('benchmarks', 'instruments')  # tool folders that are not subcommands and only exist in a clone
HOST_TOOLS = ('train', 'test')  # run by MMPretrain or MMDetection, with their arguments
WITH_CONFIG = (*HOST_TOOLS, 'browse_pairs', 'report_pretraining', 'report_detection')
# Everything that runs the hosts is in the plugin, which takes seconds to import: refer to it by name, import it on use.
IN_PLUGIN = {
    'train': 'uscl_plugin.running.host_tools',
    'test': 'uscl_plugin.running.host_tools',
    'doctor': 'uscl_plugin.running.doctor_runs',
}
HOST_HELP = """usage: uscl {0} CONFIG{1} [options of the host]

{2}

CONFIG is a path, or the name of a shipped config (`uscl configs`), and comes first.
`uscl {0} CONFIG --help` lists the options of its host, such as --work-dir DIR and --cfg-options KEY=VALUE …{3}
"""
DATA_CHANGED_HELP = '\n--data-changed goes on with --resume although the training data have changed since then.'


def load(command: str) -> ModuleType:
    """Import the part of the plugin that a command needs.

    Raises:
        ImportError: The environment is incomplete.
    """
    return importlib.import_module(IN_PLUGIN[command])


def list_tools() -> dict[str, Path]:
    """Subcommand → tool file: those with a short name first, then all by file name."""
    named = {name: TOOLS / path for name, path in COMMANDS.items()}
    paths = (path for path in sorted(TOOLS.rglob('*.py')) if path.parent.name not in DEVELOPERS)
    return named | {path.stem: path for path in paths}


def describe(path: Path) -> str:
    """The first sentence of a tool's docstring, read without executing the tool."""
    text = path.read_text(encoding='utf-8').split('"""', 2)[1]  # much faster than parsing all tools
    first = ' '.join(text.split('\n\n')[0].split())
    return first if first.endswith('?') else f'{first.split(". ")[0].rstrip(".")}.'


def help_text() -> str:
    """What ``uscl --help`` prints."""
    lines = ['usage: uscl COMMAND [arguments]', '', 'USCL pretraining on ultrasound videos.', '', 'commands:']

    def add(name: str, text: str) -> None:
        lines.extend(textwrap.wrap(f'  {name:<10}{text}', 100, subsequent_indent=' ' * 12))

    tools = list_tools()
    for name in COMMANDS:
        add(name, describe(tools[name]))
    for name, text in OWN.items():
        add(name, text)
    lines += ['', 'other tools, by file name (`python tools/…/NAME.py` in a clone):']
    for name, path in tools.items():
        if path.relative_to(TOOLS).as_posix() not in COMMANDS.values():
            lines.extend(textwrap.wrap(f'  {name}: {describe(path)}', 100, subsequent_indent=' ' * 12))
    lines += ['', '`uscl COMMAND --help` shows details; `uscl --version` prints the version.']
    return '\n'.join(lines)


def print_configs(argv: Sequence[str]) -> int:
    """List the shipped configs, by names that ``uscl train`` accepts or, with ``--path``, as paths."""
    if {'-h', '--help'} & set(argv):
        print(f'usage: uscl configs [WORD] [--path]\n\n{OWN["configs"]}')
        return 0
    words = [word for word in argv if word != '--path']
    if len(words) > 1 or any(word.startswith('-') for word in words):
        print('error: usage: uscl configs [WORD] [--path]', file=sys.stderr)
        return 2
    found = [(path.relative_to(CONFIGS).as_posix(), path) for path in list_configs()]
    found = [(name, path) for name, path in found if not words or words[0] in name]
    for name, path in found:
        print(path if '--path' in argv else name)
    return 0 if found else 1


def with_config(argv: Sequence[str]) -> list[str]:
    """Replace the name of a shipped config in the arguments by its path: the first one, or one that ends in ``.py``.

    Raises:
        ValueError: No shipped config matches the name, or several do.
    """
    arguments = list(argv)
    for index, argument in enumerate(arguments):
        is_name = not argument.startswith('-') and '=' not in argument
        if is_name and (index == 0 or argument.endswith('.py')):
            arguments[index] = str(find_shipped_config(argument))
            break
    return arguments


def run_tool(command: str, path: Path, argv: list[str]) -> int:
    """Run a tool in this process, showing ``command`` in its help and errors.

    Args:
        command: Command name, such as ``uscl convert``.
        path: File of the tool.
        argv: Its arguments.

    Returns:
        Its exit status.
    """
    spec = importlib.util.spec_from_file_location(f'uscl_tool_{path.stem}', path)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    sys.modules[tool.__name__] = tool
    before, sys.argv = sys.argv, [command, *argv]
    try:
        spec.loader.exec_module(tool)
        return tool.main(argv) or 0
    except ImportError as error:  # tools import what takes time once their options are read
        return incomplete(error)
    finally:
        sys.argv = before


def incomplete(error: ImportError) -> int:
    """Report what cannot be imported, or what is wrong with the installed packages, and point to ``uscl doctor``."""
    from .core.environment import find_problems, installed_versions

    fatal, _ = find_problems(installed_versions())
    print(f'error: {fatal or error}\n`uscl doctor` shows what else is missing.', file=sys.stderr)
    return 1


def dispatch(argv: list[str]) -> int:
    """Run a command line of ``uscl``.

    Returns:
        The exit status: the tool's; 1 if the plugin cannot be imported; 2 if the command or config is unknown.
    """
    name, rest = (argv[0], argv[1:]) if argv else ('', [])
    if name in ('', '-h', '--help', 'help'):
        print(help_text())
        return 0 if name else 2
    if name == '--version':
        print(f'uscl_plugin {__version__}')
        return 0
    if name == 'doctor':
        from .doctor import main as doctor

        return doctor(rest, lambda: load('doctor'))
    if name == 'configs':
        return print_configs(rest)
    tools = list_tools()
    if name not in tools:
        import difflib

        similar = difflib.get_close_matches(name, [*tools, *OWN], n=3, cutoff=0.5)
        hint = f'did you mean {" or ".join(similar)}? ' if similar else ''
        print(f'error: uscl has no command {name}: {hint}`uscl --help` lists the commands.', file=sys.stderr)
        return 2
    command, path = f'uscl {name}', tools[name]
    wants_help = bool({'-h', '--help'} & set(rest))
    kinds = KINDS.get(name, {})
    # A folder of clips may have the name of a kind: it is only taken as a kind if another argument follows.
    is_folder = rest[:1] and Path(rest[0]).is_dir() and (rest[1:2] or ['-'])[0].startswith('-')
    if rest[:1] and rest[0] in kinds and (wants_help or not is_folder):
        command, path, rest = f'uscl {name} {rest[0]}', TOOLS / kinds[rest[0]], rest[1:]
    elif kinds and wants_help:
        print(f'`uscl {name} KIND …` reads other layouts; KIND is one of {", ".join(kinds)}.\n')
    if name in HOST_TOOLS and (not rest or rest[0] in ('-h', '--help')):
        own = ('', DATA_CHANGED_HELP) if name == 'train' else (' CHECKPOINT', '')
        print(HOST_HELP.format(name, own[0], describe(path), own[1]))
        return 0 if wants_help else 2
    try:
        if name in WITH_CONFIG:
            rest = with_config(rest)
    except ValueError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    if name in HOST_TOOLS:
        try:
            run_host_tool = load(name).run_host_tool
        except ImportError as error:
            return incomplete(error)
        return run_host_tool(name, rest)
    return run_tool(command, path, rest)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments; None takes those of the process.

    Returns:
        The exit status; 130 if interrupted.
    """
    try:
        return dispatch(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        print('interrupted.', file=sys.stderr)
        return 130
    except BrokenPipeError:  # `uscl configs | head`: avoid Python's complaint when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == '__main__':
    sys.exit(main())
