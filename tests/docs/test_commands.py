"""Every command of the documentation is one that its tool takes: the tool's own parser says so."""

import argparse
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

import pytest
from docs_pages import PAGES, ROOT, commands, name_of
from mmengine.config import Config
from tool_module import load_tool

from uscl import cli
from uscl.core import options
from uscl.core.shipped_files import find_shipped_config
from uscl_plugin.datasets.pipeline_settings import dataset_pipeline
from uscl_plugin.running import host_tools

COMMANDS = [(page, words) for page in PAGES for words in commands(page)]
# Settings that MMEngine's runner knows, and that no config here has.
RUNNER_SETTINGS = ('compile', 'sync_bn', 'env_cfg.dist_cfg.timeout', 'default_hooks.sync_buffers.type')
OTHER_PROGRAMS = ('cd', 'git', 'source', 'tensorboard', 'mim', 'mkdocs', 'docker', 'export', 'python3', 'pip', 'nox')


class Parsed(Exception):  # noqa: N818 (it is no error)
    """The arguments are right; the tool need not run."""


@pytest.fixture
def parse_only(monkeypatch):
    """Parsers stop their tool once they have taken the arguments, and the dataclass of its options has checked them."""
    parse, make_parser = argparse.ArgumentParser.parse_args, options.make_parser

    def parse_and_stop(self, args=None, namespace=None):
        raise Parsed(parse(self, args, namespace))

    def make_parser_that_stops(cls, *args):
        def parse_and_check(argv):
            try:
                found = cls(**vars(parse(parser, argv)))
            except ValueError as error:
                parser.error(str(error))
            raise Parsed(found)

        parser = make_parser(cls, *args)
        parser.parse_args = parse_and_check
        return parser

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', parse_and_stop)
    monkeypatch.setattr(options, 'make_parser', make_parser_that_stops)
    monkeypatch.setattr(host_tools, 'run_host_tool', check_host_tool)


@cache
def read_config(path):
    return Config.fromfile(path, import_custom_modules=False)


def check_host_tool(tool, argv):
    """As the host's own parser, which never sees a config that is not there."""
    config = host_tools.find_config(argv)
    if config is None:
        assert argv[0] == 'CONFIG', f'{argv[0]} is no config'
        scope = 'mmpretrain'
    else:
        cfg = read_config(ROOT / config)
        scope = cfg.default_scope
        if '--cfg-options' in argv:
            for option in argv[argv.index('--cfg-options') + 1 :]:
                if option.startswith('--'):
                    break
                for key in expand(option.partition('=')[0]):
                    check_setting(cfg, key, config)
    before, sys.argv = sys.argv, [tool, *argv]
    try:
        load_tool(host_tools.host_tool(scope, tool)).parse_args()
    finally:
        sys.argv = before


def expand(text):
    """Braces as a shell does them: 'a{b,c}' → ['ab', 'ac']."""
    match = re.search(r'\{([^{}]*)\}', text)
    if match is None:
        return [text]
    return [one for part in match[1].split(',') for one in expand(text[: match.start()] + part + text[match.end() :])]


def check_setting(cfg, key, config):
    """A setting that the config does not have changes nothing, and MMEngine says nothing."""
    if key in RUNNER_SETTINGS:
        return
    node = cfg._cfg_dict
    parts = key.split('.')
    if 'steps' in parts:  # by the type of a transform, which has the argument already
        where = parts.index('steps')
        dataset, (kind, argument) = node, parts[where + 1 :]
        for part in parts[:where]:
            dataset = dataset[part]
        steps = {step['type']: step for step in flatten(dataset_pipeline(dataset))}
        assert argument in steps.get(kind, ()), f'{config}: no {kind} with {argument} is among {list(steps)}'
        return
    for part in parts:
        is_place = isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node)
        assert is_place or (isinstance(node, dict) and part in node), f'{config} has no {key}: {part} is not there'
        node = node[int(part)] if is_place else node[part]


def flatten(steps):
    for step in steps:
        yield step
        yield from flatten(step.get('transforms', ()))


def run(words):
    """Give a command to its parser; raises Parsed, or returns where there is no parser."""
    words = list(words)
    while '=' in words[0] and words[0].split('=')[0].isidentifier():  # environment
        words.pop(0)
    if '>' in words:
        words = words[: words.index('>')]
    if words[0] == 'torchrun':
        words = words[next(k for k, word in enumerate(words) if word in ('uscl', 'tools/train.py')) :]
        words = words if words[0] == 'uscl' else ['python', *words]
    if words[0] == 'uscl':
        assert cli.main(words[1:]) != 2
    elif words[0] == 'python' and words[1] == '-m':
        assert importlib.util.find_spec(words[2]) is not None
    elif words[0] == 'python' and words[1] in ('tools/train.py', 'tools/test.py'):
        check_host_tool(Path(words[1]).stem, words[2:])
    elif words[0] == 'python':
        assert words[1].startswith('tools/') and (ROOT / words[1]).is_file(), f'{words[1]} is not there'
        check_tool(words[1], words[2:])
    elif words[0] == 'make':
        targets = re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), re.M)
        assert set(words[1:]) <= set(targets), f'make has no {words[1:]}'
    else:
        assert words[0] in OTHER_PROGRAMS or words[0].endswith(('/pip', '/python')), f'what is {words[0]}?'


def check_tool(path, argv):
    tool = load_tool(ROOT / path)
    before, sys.argv = sys.argv, [path, *argv]
    try:
        tool.main(argv) if tool.main.__code__.co_argcount else tool.main()
    finally:
        sys.argv = before


@pytest.mark.parametrize('page', [page for page in PAGES if any(commands(page))], ids=name_of)
def test_commands_are_taken_by_their_parsers(page, parse_only, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    for words in commands(page):
        try:
            run(words)
        except Parsed:
            continue
        except (SystemExit, AssertionError, ValueError) as error:
            pytest.fail(f'{name_of(page)}: {" ".join(words)}\n{error}\n{capsys.readouterr().err}')


def test_configs_that_commands_name_are_shipped():
    for page, words in COMMANDS:
        for word in words:
            if word.startswith('configs/') and '/_base_/' not in word:
                assert find_shipped_config(word.partition(':')[0]), f'{name_of(page)}: {word}'


@pytest.mark.parametrize(
    'line',
    [
        'python tools/evaluate.py random --data data/mine --foldz split',
        'python tools/evaluat.py random --data data/mine',
        'python tools/train.py configs/uscl/uscl_resnet18_demo.py --cfg-options default_hooks.heldout.data_root=x',
        'python tools/train.py configs/uscl/uscl_resnet18_demo.py '
        '--cfg-options train_dataloader.dataset.steps.MixFrame.alpha=1',
        'python tools/train.py configs/uscl/uscl_resnet18_demo.py '
        '--cfg-options train_dataloader.dataset.steps.MixFrames.alhpa=1',
        'python tools/train.py configs/uscl/uscl_resnet18_demo.py --cfg-options model.head.classes=3',
        'python tools/train.py configs/uscl/uscl_resnet18_demo.py --wordir x',
        'python tools/dataset_converters/lesions_to_coco.py busi SRC --out x --val 2 --folds 3',
        'uscl convert SRC --out x --mask-tolerance 3',
        'uscl evalute random',
        'uscl train uscl_resnet18_dmo --work-dir x',
        'make dmo',
    ],
)
def test_wrong_commands_are_found(line, parse_only, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises((SystemExit, AssertionError, ValueError)):
        run(line.split())
