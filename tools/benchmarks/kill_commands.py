"""Kill commands of `uscl` at random moments, run them again, and compare what they leave with an undisturbed run.

A command is killed (SIGKILL, with its workers) and started again as it was typed, until it ends; if it has not been
killed often enough by then, it begins anew. Everything in its output folder must be equal to what an undisturbed run
leaves: tensors and arrays to the last bit, stored videos by their checksums, JSON apart from times and paths, other
files byte for byte; logs, pages and pictures, which hold times, only have to be there. OUT in a command is its output
folder.

    python tools/benchmarks/kill_commands.py "convert clips CLIPS --out OUT" "export b.pth OUT/a.pth --to mmdet" \
        --kills 8 --work work_dirs/kill_commands
"""

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from instruments.kills import leaves
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.core.tables import markdown
from uscl.data.folder_digest import data_digest
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

_CHANGING = re.compile(
    'second|minute|date|time|command|memory|checkpoint|source|config|fingerprint|work_dir|digest|sha256|model.pth'
)
_ONLY_THERE = ('.log', '.html', '.png', '.jpg', '.txt', '.csv', '.md', '.py', '.jsonl')
_ROOM = 'log'  # folders of logs, and MMEngine's, are named by the time


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        commands: Commands without `uscl`, each as one word in quotation marks.
        work: Folder for all runs and kills.json.
        kills: Kills of each command.
        seed: Seed of the moments.
    """

    commands: Annotated[list[str], Arg('COMMAND', positional=True)]
    work: Annotated[str, Arg('DIR')]
    kills: Annotated[int, Arg('N', at_least=1)] = 8
    seed: int = 0


def start(command: str, out: Path) -> subprocess.Popen:
    """Start a command in its own process group, with what it prints in a file beside its folder."""
    out.parent.mkdir(parents=True, exist_ok=True)
    words = [word.replace('OUT', str(out)) for word in shlex.split(command)]
    argv = [sys.executable, '-W', 'ignore', '-m', 'uscl', *words]
    with out.with_suffix('.printed').open('ab') as printed:
        return subprocess.Popen(argv, stdout=printed, stderr=printed, start_new_session=True)


def finish(command: str, out: Path) -> float:
    """Run a command to its end; returns its seconds.

    Raises:
        ValueError: It failed; the message has its last line.
    """
    began = time.monotonic()
    check(command, out, start(command, out).wait())
    return time.monotonic() - began


def check(command: str, out: Path, status: int) -> None:
    """Raise an error if a command that was not killed failed."""
    if status:
        last = out.with_suffix('.printed').read_text(encoding='utf-8').strip().split('\n')[-1]
        raise ValueError(f'uscl {command} ended with status {status}: {last}')


def kill(command: str, out: Path, seconds: float) -> bool:
    """Start a command and kill it after a time; returns whether it was still running.

    Raises:
        ValueError: It failed before.
    """
    process = start(command, out)
    try:
        check(command, out, process.wait(seconds))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def content(path: Path, out: Path) -> Any:
    """What a file holds, apart from what differs between two equal runs."""
    if path.suffix in ('.pth', '.safetensors'):
        found = load_plain_checkpoint(path)
        return {name: value for name, value in leaves(found.get('state_dict', found)) if torch.is_tensor(value)}
    if path.suffix == '.npz':
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files if not _CHANGING.search(name)}
    if path.name == 'index.json' and path.parent.name == 'store':  # interrupted conversions fill other shards
        return data_digest(path.parent.parent)
    if path.suffix == '.json':
        text = path.read_text(encoding='utf-8').replace(str(out), 'OUT')
        return {name: value for name, value in leaves(json.loads(text)) if not _CHANGING.search(name)}
    return None if path.suffix in _ONLY_THERE else path.read_bytes().replace(str(out).encode(), b'OUT')


def differences(one: Path, other: Path) -> list[str]:
    """Names of files that two folders do not share, or that differ."""
    listed = [{str(path.relative_to(out)) for path in out.rglob('*') if _counts(path, out)} for out in (one, other)]
    found = sorted(listed[0] ^ listed[1])
    for name in sorted(listed[0] & listed[1]):
        values = [content(out / name, out) for out in (one, other)]
        if not _equal(*values):
            found.append(name)
    return found


def _counts(path: Path, out: Path) -> bool:
    parts = path.relative_to(out).parts
    dated = any(re.fullmatch(r'\d{8}_\d{6}', part) for part in parts)
    is_shard = path.parent.name == 'store' and path.name != 'index.json'
    return path.is_file() and not (is_shard or dated or _ROOM in parts or path.suffix == '.lock')


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if torch.is_tensor(one):
        return torch.is_tensor(other) and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == 'f')
    return one == other


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    draws, rows = random.Random(options.seed), []
    for number, command in enumerate(options.commands):
        alone, killed = (Path(options.work, str(number), kind).resolve() for kind in ('alone', 'killed'))
        seconds = finish(command, alone)
        hits, found = 0, set[str]()
        while hits < options.kills:
            if kill(command, killed, draws.uniform(0.1, 0.9) * seconds):
                hits += 1
            else:  # it went on from where it was killed, and has ended
                found |= set(differences(alone, killed))
                shutil.rmtree(killed)
        finish(command, killed)
        found |= set(differences(alone, killed))
        rows.append([command.split()[0], str(hits), f'{seconds:.0f}', ', '.join(sorted(found)) or 'none'])
        print(' | '.join(rows[-1]), flush=True)
    table = markdown(['command', 'kills before the end', 'seconds undisturbed', 'differences'], rows)
    write_text(Path(options.work, 'kills.md'), table + '\n')
    return 1 if any(row[-1] != 'none' for row in rows) else 0


if __name__ == '__main__':
    sys.exit(main())
