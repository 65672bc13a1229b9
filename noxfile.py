"""The test suite on both families of packages and on every Python: ``nox``, or ``nox -s "tests-3.12(onedl)"``."""

import nox

nox.options.sessions = ['tests']
FAMILIES = ('onedl', 'openmmlab')
PYTHONS = ('3.10', '3.11', '3.12')


def install(session: nox.Session, family: str, extra: str) -> None:
    """Install this package with the versions that were tested."""
    constraints = f'requirements/constraints-{family}.txt'
    session.install('-c', constraints, 'setuptools<82', 'pip')  # uv's environments have no pip, which tests run
    session.install('-c', constraints, '-e', f'.[{family},{extra}]')


@nox.session(python=PYTHONS)
@nox.parametrize('family', [nox.param(family, id=family) for family in FAMILIES])
def tests(session: nox.Session, family: str) -> None:
    """All tests, and the row of docs/tested_versions.md; arguments after ``--`` go to pytest instead."""
    install(session, family, 'test')
    spread = ['-n', '2', '--dist', 'loadfile', '--no-loadscope-reorder']
    arguments = session.posargs or [*spread, '--record-versions=docs/tested_versions.md']
    session.run('python', '-m', 'pytest', *arguments, env={'CC': '/bin/false', 'CXX': '/bin/false'})


@nox.session(python=PYTHONS)
def compiles(session: nox.Session) -> None:
    """Byte-compile, which needs no package: a syntax that a Python does not have is found in a second."""
    session.run('python', '-m', 'compileall', '-q', '-f', 'uscl', 'uscl_plugin', 'tools', 'configs')


@nox.session(python='3.11')
def lint(session: nox.Session) -> None:
    """Ruff, mypy, and the rooms' contract."""
    install(session, 'onedl', 'dev')
    session.run('ruff', 'format', '--check', '.')
    session.run('ruff', 'check', '.')
    session.run('mypy')
    session.run('lint-imports', '--no-cache')


@nox.session
def docs(session: nox.Session) -> None:
    """The site, strictly."""
    install(session, 'onedl', 'docs')
    session.run('mkdocs', 'build', '--strict')
