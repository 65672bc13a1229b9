"""Build command lines from dataclasses: each field is an option, and its documentation is the help text.

.. code-block:: python

    @dataclass(frozen=True, kw_only=True)
    class Options:
        \"\"\"Options of the tool.

        Attributes:
            data: Folder that a converter wrote.
            size: Side of the input in pixels.
            strict: Also exit with 1 on warnings.
        \"\"\"

        data: Annotated[str, Arg('DIR', positional=True)]
        size: Annotated[int, Arg(at_least=1)] = 224
        strict: bool = False

    options = parse_options(Options, argv, __doc__)   # DIR [--size SIZE] [--strict]
"""

import argparse
import inspect
import math
import operator
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar('T')


@dataclass(frozen=True)
class Arg:
    """Details of a command-line option that the field's type does not express.

    Attributes:
        metavar: Placeholder for the value in the help.
        positional: Take the value without ``--name``; a list takes one or more.
        name: Name of the option, such as ``--no-models``; None derives it from the field.
        choices: Allowed values, where no ``Literal`` lists them.
        at_least: Smallest allowed value.
        above: Exclusive lower bound.
        below: Exclusive upper bound.
        at_most: Largest allowed value.
        action: An :mod:`argparse` action, such as MMEngine's ``DictAction``; ``'append'`` collects a repeatable option,
            one value each time, into a list.
        group: Heading under which the help lists the option.
    """

    metavar: str | None = None
    positional: bool = False
    name: str | None = None
    choices: Sequence[Any] | None = None
    at_least: float | None = None
    above: float | None = None
    below: float | None = None
    at_most: float | None = None
    action: type[argparse.Action] | Literal['append'] | None = None
    group: str | None = None


def parse_options(
    cls: type[T], argv: Sequence[str] | None = None, description: str | None = None, prog: str | None = None
) -> T:
    """Parse a command line into a dataclass.

    Supported types are strings, numbers, lists of them (one value or more), ``Literal`` (choices) and ``bool`` (a
    switch, ``--no-NAME`` where the default is True), each also ``| None``. Fields without a default are required. A
    class's own options come before those of its bases.

    Args:
        cls: The dataclass. Its docstring and those of its bases need an ``Attributes`` section. A ``ValueError`` from
            its ``__post_init__`` is reported as a command-line error.
        argv: The arguments; None takes those of the process.
        description: Text that ``--help`` shows above the options; None takes the docstring's first part.
        prog: Name of the command in the help; None takes the name of the script.

    Returns:
        An instance. A wrong command line and ``--help`` end the process as argparse does, with status 2 and 0.
    """
    parser = make_parser(cls, description, prog)
    values = vars(parser.parse_args(argv))
    try:
        return cls(**values)
    except ValueError as error:
        return parser.error(str(error))


def make_parser(cls: type, description: str | None = None, prog: str | None = None) -> argparse.ArgumentParser:
    """The parser for a dataclass, see :func:`parse_options`."""
    if description is None:
        description = (inspect.getdoc(cls) or '').split('\n\nAttributes:')[0]
    parser = argparse.ArgumentParser(
        prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    groups: dict[str, Any] = {}
    hints, texts, own = get_type_hints(cls, include_extras=True), field_docs(cls), inspect.get_annotations(cls)
    for field in sorted(fields(cls), key=lambda field: field.name not in own):
        if not field.init:
            continue
        hint, arg = hints[field.name], Arg()
        if get_origin(hint) is Annotated:
            hint, *extras = get_args(hint)
            arg = next((extra for extra in extras if isinstance(extra, Arg)), arg)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        target: Any = parser
        if arg.group is not None:
            target = groups.get(arg.group) or groups.setdefault(arg.group, parser.add_argument_group(arg.group))
        _add(target, field.name, hint, arg, default, texts.get(field.name, ''))
    return parser


def field_docs(cls: type) -> dict[str, str]:
    """The ``Attributes`` entries of a class and its bases, each as one line."""
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        match = re.search(r'^Attributes:\n(.*?)(?=^\S|\Z)', inspect.cleandoc(owner.__doc__ or ''), re.M | re.S)
        if match is not None:
            parts = re.split(r'^(\w+): ', inspect.cleandoc(match[1]), flags=re.M)
            found |= {name: ' '.join(text.split()) for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    return found


def option_name(cls: type, field_name: str) -> str:
    """The option name of a field, for messages, such as ``--batch-size``."""
    hint = get_type_hints(cls, include_extras=True)[field_name]
    args = [extra for extra in get_args(hint) if isinstance(extra, Arg)] if get_origin(hint) is Annotated else []
    return (args[0].name if args else None) or f'--{field_name.replace("_", "-")}'


def _add(target: Any, name: str, hint: Any, arg: Arg, default: Any, text: str) -> None:
    kwargs: dict[str, Any] = {'help': _help(text, default)}
    flag = arg.name or f'--{name.replace("_", "-")}'
    kind, is_list, choices = _value_type(hint)
    if kind is bool:
        if default is MISSING:
            raise TypeError(f'{name}: a switch needs a default.')
        flag = (arg.name or f'--no-{name.replace("_", "-")}') if default else flag
        target.add_argument(flag, dest=name, action='store_false' if default else 'store_true', help=kwargs['help'])
        return
    kwargs['type'] = _converter(kind, arg)
    if (allowed := arg.choices or choices) is not None:
        kwargs['choices'] = list(allowed)
    elif arg.metavar is not None:
        kwargs['metavar'] = arg.metavar
    if arg.action is not None:
        kwargs = {'help': kwargs['help'], 'action': arg.action, 'metavar': arg.metavar}
    if (is_list or arg.action is not None) and arg.action != 'append':
        kwargs['nargs'] = '+'
    if not arg.positional:
        requirement = {'required': True} if default is MISSING else {'default': default}
        target.add_argument(flag, dest=name, **kwargs, **requirement)
    elif default is MISSING:
        target.add_argument(name, **kwargs)
    else:
        target.add_argument(name, **kwargs | {'nargs': '*' if is_list else '?'}, default=default)


def _help(text: str, default: Any) -> str:
    text = re.sub(r':\w+:`~?(?:[\w.]+\.)?(\w+)`', r'\1', text).replace('``', '').rstrip('.')
    text = text[:1].lower() + text[1:] if text[1:2].islower() else text
    is_plain = default is not MISSING and not isinstance(default, bool | list | tuple | Mapping | None)
    if is_plain and '(default' not in text:
        text += f' (default: {default})'
    return text.replace('%', '%%')


def _value_type(hint: Any) -> tuple[type, bool, tuple | None]:
    """The type of one value, whether several are taken, and the values of a ``Literal``."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (hint,) = [each for each in args if each is not type(None)]
        return _value_type(hint)
    if origin is Literal:
        return type(args[0]), False, args
    if origin in (list, Sequence):
        kind, _, choices = _value_type(args[0])
        return kind, True, choices
    return (dict, False, None) if origin is dict else (hint, False, None)


def _converter(kind: type, arg: Arg) -> Callable[[str], Any]:
    lower = (arg.at_least, operator.ge, 'at least'), (arg.above, operator.gt, 'above')
    upper = (arg.below, operator.lt, 'below'), (arg.at_most, operator.le, 'at most')

    def convert(text: str) -> Any:
        value = kind(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise argparse.ArgumentTypeError(f'{text} should be a finite number')
        for limit, is_kept, words in (*lower, *upper):
            if limit is not None and not is_kept(value, limit):
                raise argparse.ArgumentTypeError(f'{text} should be {words} {limit:g}')
        return value

    convert.__name__ = kind.__name__  # argparse says "invalid int value"
    return convert
