"""Read values from a Python config without executing it."""

import ast
from collections.abc import Sequence
from typing import Any


def config_literals(text: str, names: Sequence[str]) -> dict[str, Any]:
    r"""Read the values assigned at the top level of a Python config from its text, without executing it.

    ``dict(…)`` calls are read as dicts. Anything that is not a literal becomes ``None``; text that does not parse gives
    ``{}``.

    >>> config_literals("a = dict(b=[1, 2], c=open('x'))\nd = 3", ['a'])
    {'a': {'b': [1, 2], 'c': None}}
    """
    try:
        statements = ast.parse(text).body
        return {
            target.id: _literal(statement.value)
            for statement in statements
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name) and target.id in names
        }
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return {}


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict' and not node.args:
        return {keyword.arg: _literal(keyword.value) for keyword in node.keywords if keyword.arg}
    if isinstance(node, ast.Dict):
        return {_literal(key): _literal(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(element) for element in node.elts]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return None


def read_literals(text: str) -> dict[str, Any]:
    r"""Read a config of literals alone, as MMEngine dumps it, without executing it; ``dict(…)`` calls are dicts.

    Raises:
        ValueError: Something is no assignment of a literal; names the line.

    >>> read_literals("a = dict(b=(1, 2.5), c=[None, -1])\nd = dict({'e.f': 'g'})")
    {'a': {'b': (1, 2.5), 'c': [None, -1]}, 'd': {'e.f': 'g'}}
    """
    found: dict[str, Any] = {}
    number = 1
    try:
        for statement in ast.parse(text).body:
            number = statement.lineno
            match statement:
                case ast.Assign(targets=[ast.Name(name)], value=value):
                    found[name] = ast.literal_eval(_AsLiterals().visit(value))
                case _:
                    raise ValueError
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f'line {getattr(error, "lineno", None) or number} is no literal') from error
    return found


class _AsLiterals(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        keys = [keyword.arg for keyword in node.keywords]
        if isinstance(node.func, ast.Name) and node.func.id == 'dict' and None not in keys:
            if not node.args:
                return ast.Dict([ast.Constant(key) for key in keys], [keyword.value for keyword in node.keywords])
            if not keys and len(node.args) == 1 and isinstance(node.args[0], ast.Dict):  # its keys are no names
                return node.args[0]
        return node  # literal_eval refuses it
