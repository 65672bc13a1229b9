"""Read thousands of damaged files, looking for readers that crash, hang, exhaust memory, run code, or give bad errors.

Every input is a small valid file (clips, images, DICOM, JSON, CSV, pickles, checkpoints, frame stores; generated here,
or small clips from demo/) that Hypothesis damages, reproducibly by seed. A reader may read it or reject it with its
documented error and the file name in the message. Anything else is a finding, whose input is kept, and the exit status
is 1. Linux only.

    python tools/benchmarks/fuzz_readers.py --inputs 20000 --out work_dirs/fuzz
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.progress import track
from rich.table import Table

import uscl_plugin
from instruments.fuzz_targets import make_readers
from instruments.fuzzing import Outcome, fuzz
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.core.errors import SourceError
from uscl.core.options import Arg, parse_options

_DEMO = Path(__file__).resolve().parents[2] / 'demo/clips'
_KEPT = 20  # inputs kept per reader


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        out: New output folder for fuzz.json and inputs/.
        inputs: Number of damaged files over all readers.
        seed: Seed of the damage.
        readers: Only use these readers, by their names in the table.
        seconds_per_input: CPU time allowed per input, in seconds.
        memory: Memory allowed per input, in MB.
    """

    out: Annotated[str, Arg('DIR')]
    inputs: Annotated[int, Arg(at_least=1)] = 20_000
    seed: int = 0
    readers: Annotated[list[str] | None, Arg('NAME')] = None
    seconds_per_input: Annotated[float, Arg('S', above=0)] = 10.0
    memory: Annotated[int, Arg('MB', at_least=1)] = 1024


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    out, begin = Path(options.out), time.monotonic()
    if out.exists() and any(out.iterdir()):
        raise SourceError(f'--out {out} is not empty: choose a new folder, or delete it.')
    with tempfile.TemporaryDirectory() as folder:
        readers = make_readers(Path(folder), sorted(_DEMO.glob('*')))
    if unknown := set(options.readers or ()) - {reader.name for reader in readers}:
        raise SourceError(
            f'no reader {sorted(unknown)[0]!r}: choose from {", ".join(reader.name for reader in readers)}.'
        )
    readers = [reader for reader in readers if not options.readers or reader.name in options.readers]
    outcomes: list[Outcome] = []
    found = fuzz(readers, options.inputs, options.seed, options.seconds_per_input, options.memory)
    for outcome, content in track(found, 'reading', options.inputs, console=Console(stderr=True)):
        outcomes.append(outcome)
        if outcome.is_finding:
            suffix = next(Path(reader.file).suffix for reader in readers if reader.name == outcome.reader)
            _keep(outcome, outcomes, out / 'inputs', suffix, content)
    rows = [_summarise(reader.name, outcomes) for reader in readers]
    findings = [outcome for outcome in outcomes if outcome.is_finding]
    document = {
        'version': uscl_plugin.__version__,
        'arguments': asdict(options),
        'seconds': round(time.monotonic() - begin, 1),
        'readers': rows,
        'findings': [asdict(finding) for finding in findings],
    }
    write_text(out / 'fuzz.json', json.dumps(document, indent=1) + '\n')
    _print_table(rows, time.monotonic() - begin)
    return 1 if findings else 0


def _keep(finding: Outcome, outcomes: Sequence[Outcome], folder: Path, suffix: str, content: bytes) -> None:
    """Print a finding and save its input."""
    print(f'{finding.reader} {finding.number}: {finding.kind}: {finding.detail}', file=sys.stderr)
    if sum(outcome.reader == finding.reader and outcome.is_finding for outcome in outcomes) <= _KEPT:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'{finding.reader.replace(" ", "_")}-{finding.number}{suffix}').write_bytes(content)


def _summarise(name: str, outcomes: Iterable[Outcome]) -> dict:
    mine = [outcome for outcome in outcomes if outcome.reader == name]
    return {
        'reader': name,
        'inputs': len(mine),
        'fine': sum(outcome.kind == 'fine' for outcome in mine),
        'refused': sum(outcome.kind == 'refused' for outcome in mine),
        'findings': sum(outcome.is_finding for outcome in mine),
        'slowest': round(max((outcome.seconds for outcome in mine), default=0), 2),
        'most_memory': round(max((outcome.memory for outcome in mine), default=0)),
    }


def _print_table(rows: Sequence[dict], seconds: float) -> None:
    table = Table('reader')
    for name in ('inputs', 'fine', 'refused', 'findings', 'slowest (CPU s)', 'most memory (MB)'):
        table.add_column(name, justify='right')
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console(soft_wrap=True).print(table)
    counts = [sum(row[key] for row in rows) for key in ('inputs', 'fine', 'refused', 'findings')]
    print('{} inputs: {} read, {} refused, {} findings;'.format(*counts), f'{seconds / 60:.1f} minutes')


if __name__ == '__main__':
    sys.exit(main())
