"""List everything that the package depends on: docs/licences.md, and on request a CycloneDX bill of materials.

    python locks/list_dependencies.py --page docs/licences.md
    python locks/list_dependencies.py --sbom sbom.json

Both are of the packages installed here; licences are as their authors state them.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.core.tables import markdown
from uscl.version import __version__

EXTRAS = ('onedl', 'dicom', 'dicom-out', 'stacks', 'export', 'cluster')  # what users install; [dev] is for developers
_PAGE = """# Licences of the dependencies

What `pip install 'uscl_plugin[{extras}]'` brings along on Linux, with the licences that the packages state. uscl_plugin
itself is under Apache-2.0. *For* is who asks for a package first: uscl_plugin, one of its extras, or another package.
Written by `python locks/list_dependencies.py --page docs/licences.md`; `make sbom` writes the same as a CycloneDX
file.

{table}

## Equal bytes on every machine

`locks/onedl-linux-py311.txt` and `locks/openmmlab-linux-py311.txt` pin every package with the hashes of its files, for
Linux on x86-64 with Python 3.11. PyPI's torch also runs without a GPU, but brings NVIDIA's libraries along. A file that
differs is refused:

```bash
python -m pip install --require-hashes -r locks/onedl-linux-py311.txt
python -m pip install --no-deps .
```

`make locks` writes them again from `setup.py` and `requirements/`.
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        page: Markdown page to write.
        sbom: CycloneDX file to write, .json.
    """

    page: Annotated[str | None, Arg('FILE')] = None
    sbom: Annotated[str | None, Arg('FILE')] = None


@dataclass(frozen=True)
class Dependency:
    """An installed package that is needed.

    Attributes:
        name: In the form that PyPI compares.
        found: What is installed.
        wanted_by: Who asked for it first.
        needs: Names of what it needs itself.
    """

    name: str
    found: Distribution
    wanted_by: str
    needs: set[str]

    @property
    def licence(self) -> str:
        """As its author states it: an SPDX expression, a classifier, or a few words."""
        meta = self.found.metadata
        classified = [text.rpartition(' :: ')[2] for text in meta.get_all('Classifier', []) if text[:7] == 'License']
        stated = (meta.get('License') or '').strip()
        words = stated if len(stated) <= 40 and stated != 'UNKNOWN' else ''
        named = '; '.join(name for name in classified if name != 'OSI Approved')
        return meta.get('License-Expression') or named or words or 'see the text that comes with it'


def list_dependencies(extras: tuple[str, ...] = EXTRAS) -> list[Dependency]:
    """Everything that uscl_plugin needs with these extras on this system, by name.

    Raises:
        PackageNotFoundError: Something is not installed.
    """
    found: dict[str, Dependency] = {}
    own = _needed('uscl_plugin', ())
    waiting = [('uscl_plugin', *each) for each in own]
    for extra in extras:
        waiting += [(f'[{extra}]', *each) for each in _needed('uscl_plugin', (extra,)) if each not in own]
    while waiting:
        wanted_by, name, more = waiting.pop(0)
        needs = _needed(name, more)
        if name not in found:
            found[name] = Dependency(name, distribution(name), wanted_by, set())
        elif {each for each, _ in needs} <= found[name].needs:  # otherwise it is now wanted with an extra
            continue
        found[name].needs.update(each for each, _ in needs)
        waiting += [(name, *each) for each in needs]
    return [found[name] for name in sorted(found)]


def _needed(name: str, extras: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Names and extras of what a package needs on this system."""
    wanted = map(Requirement, distribution(name).requires or [])
    return [
        (canonicalize_name(each.name), tuple(sorted(each.extras)))
        for each in wanted
        if each.marker is None or any(each.marker.evaluate({'extra': extra}) for extra in ('', *extras))
    ]


def page(dependencies: list[Dependency]) -> str:
    """The page of licences, as Markdown."""
    rows = [[each.name, each.found.version, each.licence, each.wanted_by] for each in dependencies]
    return _PAGE.format(extras=','.join(EXTRAS), table=markdown(['Package', 'Version', 'Licence', 'For'], rows))


def bill_of_materials(dependencies: list[Dependency]) -> dict:
    """CycloneDX 1.5: components with licences, and what needs what."""
    refs = {each.name: f'pkg:pypi/{each.name}@{each.found.version}' for each in dependencies}
    own = f'pkg:pypi/uscl-plugin@{__version__}'
    direct = [refs[each.name] for each in dependencies if each.wanted_by == 'uscl_plugin' or each.wanted_by[0] == '[']
    return {
        'bomFormat': 'CycloneDX',
        'specVersion': '1.5',
        'version': 1,
        'metadata': {
            'component': {'type': 'library', 'bom-ref': own, 'name': 'uscl_plugin', 'version': __version__, 'purl': own}
        },
        'components': [
            {
                'type': 'library',
                'bom-ref': refs[each.name],
                'name': each.name,
                'version': each.found.version,
                'purl': refs[each.name],
                'licenses': [{'license': {'name': each.licence}}],
            }
            for each in dependencies
        ],
        'dependencies': [{'ref': own, 'dependsOn': direct}, *_edges(dependencies, refs)],
    }


def _edges(dependencies: list[Dependency], refs: dict[str, str]) -> Iterator[dict]:
    for each in dependencies:
        yield {'ref': refs[each.name], 'dependsOn': [refs[name] for name in sorted(each.needs)]}


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    if options.page is None and options.sbom is None:
        raise ValueError('nothing to write: give --page FILE, --sbom FILE, or both.')
    try:
        dependencies = list_dependencies()
    except PackageNotFoundError as error:
        raise ValueError(f'{error.name} is not installed: pip install uscl_plugin[{",".join(EXTRAS)}].') from error
    if options.page is not None:
        write_text(options.page, page(dependencies))
    if options.sbom is not None:
        write_text(Path(options.sbom), json.dumps(bill_of_materials(dependencies), indent=1) + '\n')
    print(f'wrote {" and ".join(filter(None, (options.page, options.sbom)))}: {len(dependencies)} packages')
    return 0


if __name__ == '__main__':
    sys.exit(main())
