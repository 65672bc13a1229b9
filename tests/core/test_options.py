"""A dataclass is the one place of a tool's options: types, defaults, limits and help."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest

from uscl.core.options import Arg, field_docs, make_parser, option_name, parse_options


@dataclass(frozen=True, kw_only=True)
class Base:
    """What several have.

    Attributes:
        out: Folder for the results.
        size: Side in pixels, 100 % of it.
    """

    out: Annotated[Path, Arg('DIR')]
    size: Annotated[int, Arg(at_least=1)] = 224


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """First line.

    More.

    Attributes:
        clips: Of any kind, see
            :func:`uscl.clips.open_clip`.
        share: Of the videos (default: a fifth).
        mode: How.
        strict: Exit with 1.
        models: Keep no models.
        seeds: Any.
        index: Table, if any.
    """

    clips: Annotated[list[str], Arg('CLIP', positional=True)]
    share: Annotated[float, Arg(at_least=0, below=1)] = 0.2
    mode: Literal['linear', 'knn'] = 'linear'
    strict: bool = False
    models: bool = True
    seeds: list[int] = field(default_factory=lambda: [0])
    index: Annotated[str | None, Arg('CSV', group='tables')] = None

    def __post_init__(self):
        if self.mode == 'knn' and self.strict:
            raise ValueError('--strict would change nothing with --mode knn: leave it out.')


def test_defaults_and_types():
    assert parse_options(Options, ['a', 'b', '--out', 'x']) == Options(clips=['a', 'b'], out=Path('x'))
    given = ['a', '--out', 'x', '--size', '3', '--share', '0', '--mode', 'knn', '--no-models', '--seeds', '1', '2']
    expected = Options(
        clips=['a'], out=Path('x'), size=3, share=0.0, mode='knn', models=False, seeds=[1, 2], index='i.csv'
    )
    assert parse_options(Options, [*given, '--index', 'i.csv']) == expected
    assert parse_options(Options, ['a', '--out', 'x', '--strict']).strict


@pytest.mark.parametrize(
    ('given', 'says'),
    [
        (['a'], 'the following arguments are required: --out'),
        (['--out', 'x'], 'the following arguments are required: CLIP'),
        (['a', '--out', 'x', '--size', '0'], 'argument --size: 0 should be at least 1'),
        (['a', '--out', 'x', '--size', 'q'], "argument --size: invalid int value: 'q'"),
        (['a', '--out', 'x', '--share', '1'], 'argument --share: 1 should be below 1'),
        (['a', '--out', 'x', '--share', 'nan'], 'argument --share: nan should be a finite number'),
        (['a', '--out', 'x', '--mode', 'x'], "invalid choice: 'x'"),
        (['a', '--out', 'x', '--mode', 'knn', '--strict'], '--strict would change nothing with --mode knn'),
    ],
)
def test_wrong_lines_are_status_2(given, says, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_options(Options, given)
    assert ended.value.code == 2 and says in capsys.readouterr().err


def test_help_comes_from_the_documentation():
    text = ' '.join(make_parser(Options).format_help().split())
    assert 'First line. More. ' in text and 'Attributes' not in text
    assert 'CLIP of any kind, see open_clip ' in text
    assert '--size SIZE side in pixels, 100 % of it (default: 224)' in text
    assert '--share SHARE of the videos (default: a fifth)' in text and text.count('(default: a fifth)') == 1
    assert '--no-models keep no models' in text and 'tables: --index CSV table, if any' in text
    assert text.index('--index CSV') < text.index('--out DIR')  # own options first, then those of the base
    assert 'ABOVE IT' in make_parser(Options, 'ABOVE IT').format_help()
    assert make_parser(Options, prog='a b').format_usage().startswith('usage: a b [-h] ')


def test_every_field_is_documented_once():
    assert set(field_docs(Options)) == {'out', 'size', 'clips', 'share', 'mode', 'strict', 'models', 'seeds', 'index'}
    assert (option_name(Options, 'share'), option_name(Base, 'out')) == ('--share', '--out')


def test_actions_of_a_host_are_taken():
    @dataclass(frozen=True)
    class WithAction:
        """x"""

        changes: Annotated[dict, Arg('KEY=VALUE', action=Pairs)] = field(default_factory=dict)
        more: Annotated[list[str], Arg('X', action='append')] = field(default_factory=list)
        clips: Annotated[list[str], Arg('CLIP', positional=True)] = field(default_factory=list)

    assert parse_options(WithAction, ['--changes', 'a=1', 'b=2']).changes == {'a': '1', 'b': '2'}
    assert parse_options(WithAction, []) == WithAction()
    assert parse_options(WithAction, ['--more', 'x', 'a', '--more', 'y']) == WithAction(more=['x', 'y'], clips=['a'])


class Pairs(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, dict(value.split('=') for value in values))
