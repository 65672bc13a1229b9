"""``uscl doctor``: show what works here and what to install. It must not stop at anything missing or broken."""

import contextlib
import io
import json
import os
import platform
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from .core.options import parse_options

OK, NOTE, OPTIONAL, BROKEN = 'ok', 'note', 'optional', 'broken'
COLOURS = {OK: 'green', NOTE: 'yellow', OPTIONAL: 'cyan', BROKEN: 'bold red'}
TESTED_PYTHON = ((3, 10), (3, 12))
LITTLE_SPACE = 5 * 2**30  # bytes; roughly the frames of 250 clips plus the checkpoints of a run


@dataclass(frozen=True)
class Finding:
    """One row of the result.

    Attributes:
        part: What was checked.
        status: ``ok``; ``note``: works, with a caveat; ``optional``: not installed, and only needed for the purpose
            stated in the remedy; ``broken``: needed, but does not work.
        found: A version, a name or an error.
        remedy: What to do; empty if nothing is needed.
    """

    part: str
    status: str
    found: str
    remedy: str = ''


Check = Callable[[], Iterator[Finding]]
REINSTALL_TORCH = 'reinstall torch and torchvision together, in matching versions'


def check_machine() -> Iterator[Finding]:
    """Python, operating system, cores, and the current folder, where ``work_dirs`` is created."""
    version, (oldest, newest) = sys.version_info[:2], TESTED_PYTHON
    status = BROKEN if version < oldest else NOTE if version > newest else OK
    remedy = '' if status == OK else f'use a tested Python, {oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}'
    yield Finding('Python', status, f'{platform.python_version()}, {sys.executable}', remedy)
    yield Finding('system', OK, platform.platform())
    yield check_threads(available_cores(), os.cpu_count() or 1, os.environ.get('OMP_NUM_THREADS'))
    yield check_folder(Path.cwd())


def available_cores(quota_file: Path = Path('/sys/fs/cgroup/cpu.max')) -> int:
    """Cores available to this process: those in its affinity mask, or fewer in a container with a CPU quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # 'max 100000' means no quota; other systems lack the file
        quota, period = quota_file.read_text().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


def check_threads(cores: int, all_cores: int, threads: str | None) -> Finding:
    """Does PyTorch start as many threads as there are cores available?

    Args:
        cores: Number available to this process.
        all_cores: Number in the machine.
        threads: The value of ``OMP_NUM_THREADS``.
    """
    found = f'{cores} of {all_cores}, OMP_NUM_THREADS {threads or "not set"}'
    started = int(threads) if threads and threads.isdigit() else all_cores
    if started > cores:
        return Finding('cores', NOTE, found, f'export OMP_NUM_THREADS={cores}, or threads will wait for each other')
    hint = f'for several runs at once, divide OMP_NUM_THREADS={cores} by their number' if started > 1 else ''
    return Finding('cores', OK, found, hint)


def check_folder(folder: Path) -> Finding:
    """Is there enough disk space, and can files be written?"""
    free = shutil.disk_usage(folder).free
    found = f'{folder}, {free / 2**30:.1f} GiB free'
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding('folder', NOTE, f'{found}, {error.strerror}', 'change the folder, or pass --work-dir and --out')
    little = free < LITTLE_SPACE
    return Finding(
        'folder', NOTE if little else OK, found, 'free some space, or pass --work-dir on another disk' if little else ''
    )


def check_family() -> Iterator[Finding]:
    """Exactly one of the two package families that provide mmengine, mmcv, mmpretrain and mmdet is installed."""
    from .core.environment import find_problems, installed_versions

    versions = installed_versions()
    fatal, notes = find_problems(versions)
    if fatal:
        yield Finding('family', BROKEN, fatal.partition(': ')[0], fatal.partition(': ')[2])
    else:
        yield Finding('family', OK, family_of(versions))
    for note in notes:
        yield Finding('family', NOTE, note.partition(': ')[0], note.partition(': ')[2])


def family_of(versions: dict[str, str]) -> str:
    """The extra that was installed; the recommended one if none was."""
    return 'openmmlab' if any(name.startswith('mm') for name in versions) else 'onedl'


def check_packages() -> Iterator[Finding]:
    """The required packages, compared with the tested versions, and the optional ones."""
    from packaging.requirements import Requirement

    from .core.environment import find_problems, installed_versions

    try:
        requirements = [Requirement(line) for line in metadata.requires('uscl_plugin') or []]
    except metadata.PackageNotFoundError:
        here = Path(__file__).parent.parent
        yield Finding('uscl_plugin', NOTE, f'not installed, runs from {here}', f'pip install --no-deps -e {here}')
        return
    yield Finding('uscl_plugin', OK, metadata.version('uscl_plugin'))
    versions = installed_versions()
    family = family_of(versions)
    tested = tested_versions(family)
    chosen = ('',) if find_problems(versions)[0] else ('', family)  # problems of the family are reported only once
    for requirement in requirements:
        if any(applies(requirement, extra) for extra in chosen):
            yield check_requirement(requirement, tested, BROKEN)
    for extra in metadata.metadata('uscl_plugin').get_all('Provides-Extra') or []:
        if extra in ('onedl', 'openmmlab', 'test', 'dev'):
            continue
        parts = [requirement for requirement in requirements if applies(requirement, extra) and requirement.marker]
        found = [check_requirement(part, tested, OPTIONAL) for part in parts]
        missing = [finding.remedy for finding in found if finding.status == OPTIONAL]
        what = ', '.join(f'{finding.part} {finding.found}' for finding in found)
        remedy = 'pip install ' + ' '.join(text.removeprefix('pip install ') for text in missing) if missing else ''
        yield Finding(f'[{extra}]', OPTIONAL if missing else OK, what, remedy)


def applies(requirement: Any, extra: str) -> bool:
    """Whether a ``packaging`` requirement belongs to an extra ('': to all installs)."""
    return requirement.marker is None or requirement.marker.evaluate({'extra': extra})


def check_requirement(requirement: Any, tested: dict[str, str], if_missing: str) -> Finding:
    """Is a ``packaging`` requirement met, and by the tested version?"""
    install = f"pip install '{requirement.name}{requirement.specifier}'"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding(requirement.name, if_missing, 'not installed', install)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(requirement.name, if_missing, f'{version} is not {requirement.specifier}', install)
    expected = tested.get(requirement.name, version)
    if version.partition('+')[0] != expected:  # torch has 2.14.1+cu130
        return Finding(requirement.name, NOTE, version, f'tested with {expected}')
    return Finding(requirement.name, OK, version)


def tested_versions(family: str) -> dict[str, str]:
    """Distribution → version that the test suite ran with, from the constraints file of a family."""
    from packaging.requirements import Requirement

    from .core.shipped_files import REQUIREMENTS

    versions = {}
    for line in (REQUIREMENTS / f'constraints-{family}.txt').read_text(encoding='utf-8').splitlines():
        if line and not line.startswith(('#', '-')):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate():
                versions[requirement.name] = str(requirement.specifier).removeprefix('==')
    return versions


def check_torch() -> Iterator[Finding]:
    """Check that PyTorch and torchvision work together, and compute a product on each GPU."""
    try:
        import torch
        from torchvision.ops import nms

        nms(torch.tensor([[0.0, 0, 1, 1]]), torch.ones(1), 0.5)  # fails if compiled for another PyTorch
    except Exception as error:
        yield Finding('torch', BROKEN, f'{type(error).__name__}: {str(error).splitlines()[0]}', REINSTALL_TORCH)
        return
    yield Finding('torch', OK, f'{torch.__version__}, {torch.get_num_threads()} threads')
    if not torch.cuda.is_available():
        if shutil.which('nvidia-smi'):
            built = f'CUDA {torch.version.cuda}' if torch.version.cuda else 'no CUDA'
            remedy = 'install a torch built for at most the CUDA version that `nvidia-smi` shows, or update the driver'
            yield Finding('GPU', NOTE, f'not usable: this torch is built for {built}', remedy)
        else:
            has_mps = torch.backends.mps.is_available()
            yield Finding('GPU', OK, "Apple's (mps)" if has_mps else 'none: runs on the CPU')
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        with torch.cuda.device(index):
            bf16 = 'bf16' if torch.cuda.is_bf16_supported() else 'no bf16'
            found = f'{facts.name}, {facts.total_memory / 2**30:.0f} GiB, {bf16}, CUDA {torch.version.cuda}'
            try:
                torch.ones(8, 8, device='cuda').matmul(torch.ones(8, 8, device='cuda')).sum().item()
            except RuntimeError as error:
                yield Finding(f'GPU {index}', BROKEN, f'{found}: {str(error).splitlines()[0]}', 'install another torch')
            else:
                yield Finding(f'GPU {index}', OK, found)


def guarded(part: str, check: Check) -> Iterator[Finding]:
    """The findings of a check; an exception becomes a finding, too."""
    try:
        yield from check()
    except (Exception, SystemExit) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        yield Finding(part, BROKEN, f'{type(error).__name__}: {reason}', 'reinstall the package that the error names')


def examine(load_runs: Callable[[], ModuleType], train: bool = False) -> list[Finding]:
    """Run all checks, in the order in which to repair; those that need a package family are skipped without one.

    Args:
        load_runs: Imports the plugin's checks: ``check_plugin``, ``check_ops``, ``check_training``.
        train: Also train for one step.
    """
    checks: dict[str, Check] = {
        'machine': check_machine,
        'packages': check_packages,
        'family': check_family,
        'torch': check_torch,
    }
    names = ['plugin', 'ops', *(['training'] if train else [])]
    findings: list[Finding] = []
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # the checks report import problems
        warnings.simplefilter('ignore')
        for part, check in checks.items():
            findings += guarded(part, check)
        if any(finding.part == 'family' and finding.status == BROKEN for finding in findings):
            return [*findings, Finding(', '.join(names), NOTE, 'not tried', 'repair the family first')]
        for part in names:
            findings += guarded(part, partial(_run, load_runs, part))
    return findings


def _run(load_runs: Callable[[], ModuleType], part: str) -> Iterator[Finding]:
    yield from getattr(load_runs(), f'check_{part}')()


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a table, or plain lines if rich is not installed."""
    try:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table
    except ImportError:
        for finding in findings:
            print(
                f'{finding.status:<9}{finding.part}: {finding.found}' + f' -> {finding.remedy}' * bool(finding.remedy)
            )
        return
    table = Table('', 'part', 'found', 'what to do')
    for finding in findings:
        texts = (escape(text) for text in (finding.part, finding.found, finding.remedy))
        table.add_row(f'[{COLOURS[finding.status]}]{finding.status}[/]', *texts)
    console = Console()
    # Commands are meant to be copied: in a file or pipe, lines are as long as they need to be.
    Console(width=None if console.is_terminal else 200).print(table)


@dataclass(frozen=True)
class DoctorOptions:
    """Options of the command.

    Attributes:
        train: Also train the demo for one step, on synthetic clips.
        json: Print JSON instead of a table.
    """

    train: bool = False
    json: bool = False


def main(argv: Sequence[str] | None, load_runs: Callable[[], ModuleType]) -> int:
    """Run the command.

    Args:
        argv: Arguments; None takes those of the process.
        load_runs: See :func:`examine`.

    Returns:
        Exit status: 0; 1 if a required part does not work.
    """
    options = parse_options(DoctorOptions, argv, __doc__, prog='uscl doctor')
    findings = examine(load_runs, options.train)
    broken = dict.fromkeys(finding.part for finding in findings if finding.status == BROKEN)
    if options.json:
        print(json.dumps({'ok': not broken, 'findings': [asdict(finding) for finding in findings]}, indent=1))
    else:
        print_findings(findings)
        print(f'Broken: {", ".join(broken)}.' if broken else 'Ready: everything required works.')
    return 1 if broken else 0
