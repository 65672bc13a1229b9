"""Does pretraining work on this GPU, and how fast? One run of a few minutes on synthetic clips.

First whether results are those of the CPU (pairs, loss, resuming, frozen layers, a detector), then the duration of 300
epochs on data of US-4's size, extrapolated from 20, and videos per second of loader and network, alone and together, by
batch size and precision. What the time does not suffice for is reported as not reached. OUT gets gpu_check.json and
gpu_check.md.

    python tools/benchmarks/gpu_check.py --out work_dirs/gpu_check
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

import uscl_plugin  # noqa: F401  registers what configs name
from instruments.gpu_correctness import CHECKS, CheckSettings, run_check
from instruments.gpu_speed import PRECISIONS, speed_row, whole_run
from instruments.throughput_report import machine_facts
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command, command_line, use_device
from uscl.core.options import Arg, parse_options
from uscl.core.tables import markdown
from uscl.data.synthetic_videos import write_synthetic_videos
from uscl_plugin.weights.plain_checkpoints import only_plain_checkpoints

_NARROW = {
    **{f'model.backbone.{name}_channels': 16 for name in ('stem', 'base')},
    **{'model.neck.in_channels': 128, 'model.neck.hid_channels': 64, 'model.head.in_channels': 128},
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        out: Folder for the results.
        device: cuda, cuda:N or cpu.
        small: Few small clips and a narrow network, to try the tool itself.
        minutes: When to stop.
        workers: Number of loading processes (default: one per core, at most 16).
    """

    out: Annotated[str, Arg('DIR')]
    device: str = 'cuda'
    small: bool = False
    minutes: Annotated[float, Arg(above=0)] = 8
    workers: Annotated[int | None, Arg('N', at_least=0)] = None


@dataclass(frozen=True)
class Amount:
    """How much is measured."""

    videos: int
    frames: int
    frame_size: int
    size: int
    batch_sizes: tuple[int, ...]
    seconds: float
    epochs: int
    options: dict[str, Any]


FULL = Amount(840, 22, 256, 224, (32, 64, 128, 256, 512, 1024), 2.5, 20, {})  # US-4: 840 training videos
SMALL = Amount(8, 3, 40, 32, (4, 8), 0.02, 3, _NARROW)
_NEEDED = {'run': 60, 'bf16 + compile': 75}  # seconds below which a part is not begun; others take less than 20


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status: 0, or 1 if a check failed."""
    options = parse_options(Options, argv, __doc__)
    start = time.monotonic()
    use_device(options.device)
    if options.device != 'cpu' and not torch.cuda.is_available():
        raise ValueError('PyTorch finds no GPU: install a torch with CUDA, or pass --device cpu.')
    device = torch.device('cpu' if options.device == 'cpu' else 'cuda:0')  # use_device() hides the others
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    init_default_scope('mmpretrain')
    if not MMLogger.check_instance_created('gpu_check'):  # otherwise MMEngine logs the initialisation of every weight
        MMLogger.get_instance('gpu_check', log_level='ERROR')
    only_plain_checkpoints()
    result: dict[str, Any] = {'command': command_line('tools/benchmarks/gpu_check.py', argv), **machine_facts(device)}
    result |= {'gpu': gpu_facts(device), 'checks': [], 'run': [], 'speed': [], 'not_reached': []}
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for part, found in _found(options, device, Path(scratch), start + 60 * options.minutes):
            result[part].append(found)
            print(f'{part}: {found if isinstance(found, str) else _cells(found)}', flush=True)
            result['seconds'] = time.monotonic() - start
            write_text(out / 'gpu_check.json', json.dumps(result, indent=1) + '\n')  # whatever happens next
    write_text(out / 'gpu_check.md', report(result))
    print(f'wrote {out / "gpu_check.json"} and {out / "gpu_check.md"}')
    return int(any(not check['passed'] for check in result['checks']))


def _found(options: Options, device: torch.device, scratch: Path, deadline: float) -> Iterator[tuple[str, Any]]:
    """Parts of the result, as they are found, with their key."""
    amount = SMALL if options.small else FULL
    workers = min(len(os.sched_getaffinity(0)), 16) if options.workers is None else options.workers
    settings = CheckSettings(
        data=write_synthetic_videos(scratch / 'clips', amount.videos, amount.frames, amount.frame_size),
        folder=scratch / 'runs',
        device=device,
        size=amount.size,
        batch_size=amount.batch_sizes[0],
        options=amount.options,
    )
    precisions = list(PRECISIONS) if device.type == 'cuda' else ['fp32']  # MMEngine's mixed precision needs a GPU
    parts: dict[str, tuple[str, Callable[[], Any]]] = {
        name: ('checks', partial(_check, name, replace(settings, batch_size=4))) for name in CHECKS
    }
    run = partial(whole_run, replace(settings, folder=scratch / 'whole'), precisions[len(precisions) // 2])
    parts['run'] = 'run', lambda: run(workers, amount.epochs, deadline - time.monotonic())
    for precision in precisions:
        for size in amount.batch_sizes:
            row = partial(speed_row, settings, precision, size, workers, amount.seconds)
            parts[f'{precision}, {size} videos per batch'] = 'speed', row
    for name, (part, measure) in parts.items():
        needed = next((seconds for key, seconds in _NEEDED.items() if name.startswith(key)), 20)
        if not options.small and deadline - time.monotonic() < needed:
            yield 'not_reached', name
        else:
            yield part, measure()


def _check(name: str, settings: CheckSettings) -> dict[str, Any]:
    passed, number = run_check(name, settings)
    return {'name': name, 'passed': passed, 'found': number}


def gpu_facts(device: torch.device) -> dict[str, Any]:
    """What figures depend on: memory, CUDA, rounding of convolutions, and the driver, if nvidia-smi tells it."""
    if device.type != 'cuda':
        return {}
    facts = torch.cuda.get_device_properties(device)
    found = {'memory_bytes': facts.total_memory, 'cuda': torch.version.cuda, 'cudnn': torch.backends.cudnn.version()}
    query = ['nvidia-smi', '--query-gpu=driver_version,power.limit', '--format=csv,noheader']
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
        found['driver_and_power_limit'] = told.stdout.splitlines()[0]
    return {**found, 'tf32_convolutions': torch.backends.cudnn.allow_tf32}


def report(result: dict[str, Any]) -> str:
    """The results as a Markdown page."""
    lines = [f'{result["device"]}, torch {result["torch"]}, {result["cores"]} cores, {result["seconds"]:.0f} s', '']
    for part in ('checks', 'run', 'speed'):
        if result[part]:
            header = list(dict.fromkeys(key for found in result[part] for key in _cells(found)))
            rows = [[_cells(found).get(key, '') for key in header] for found in result[part]]
            lines += [markdown(header, rows), '']
    if result['not_reached']:
        lines += [f'Not reached: {"; ".join(result["not_reached"])}.']
    return '\n'.join(lines) + '\n'


def _cells(found: dict[str, Any]) -> dict[str, str]:
    """Values as text: bytes in GiB, shares in percent, numbers with three digits."""
    shown = {}
    for key, value in found.items():
        if key.endswith('_bytes'):
            shown[key.removesuffix('_bytes').replace('_', ' ') + ', GiB'] = (
                '' if value is None else f'{value / 2**30:.1f}'
            )
        elif isinstance(value, float):
            shown[key.replace('_', ' ')] = f'{100 * value:.0f} %' if key == 'busy' else f'{value:.3g}'
        else:
            shown[key.replace('_', ' ')] = {True: 'yes', False: 'NO'}[value] if isinstance(value, bool) else str(value)
    return shown


if __name__ == '__main__':
    sys.exit(main())
