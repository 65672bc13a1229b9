"""How fast does pretraining run, and does the network wait for frames?

Times loader, network and both together, in videos per second, for one config or several in turn, on synthetic clips or
on DIR. With --released, the authors' code from a clone of github.com/983632847/USCL runs next to them, with its own
loop, dataset and augmentations, on the same frames, and every figure is compared repeat by repeat.

    python tools/benchmarks/throughput.py --released USCL --json throughput.json --out throughput.png
"""

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from mmengine.config import DictAction
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from rich.console import Console

import uscl_plugin  # noqa: F401  registers what configs name
from instruments.config_workload import ConfigWorkload, benchmark_config
from instruments.released_code import import_released
from instruments.released_workload import ADAPTED, ReleasedWorkload, write_jpeg_folders
from instruments.throughput import measure_throughput
from instruments.throughput_figure import throughput_figure
from instruments.throughput_report import figures_table, machine_facts, named_configs, to_plain
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command, command_line
from uscl.core.options import Arg, parse_options
from uscl.data.synthetic_videos import write_synthetic_videos
from uscl.reports.figures import check_picture, save_picture
from uscl_plugin.weights.plain_checkpoints import only_plain_checkpoints

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'uscl'
# The first one that exists.
FASTEST = ('uscl_resnet18_1xb32-300e_us4-224px_device-aug.py', 'uscl_resnet18_1xb32-300e_us4-224px.py')


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        config: Configs to time (default: that of US-4, with device augmentation if there is one).
        released: Clone of the authors' code, to time next to it.
        data: Folder written by a converter (default: synthetic clips).
        size: Side length of a view in pixels.
        batch_size: Videos per batch, at least 2, because one pair has no negatives.
        workers: Number of loading processes (default: each config's own).
        repeats: How often the configs take turns.
        batches: Minimum number of batches in a measurement.
        seconds: Minimum duration of a measurement in seconds.
        videos: Number of synthetic clips.
        frames: Frames per synthetic clip.
        frame_size: Side length of synthetic clips in pixels.
        json: Also write the results to this file.
        out: Write a bar chart to this picture.
        cfg_options: Changes to every config.
    """

    config: Annotated[list[str], Arg('[NAME=]CONFIG')] = field(
        default_factory=lambda: [next(str(CONFIGS / name) for name in FASTEST if (CONFIGS / name).is_file())]
    )
    released: Annotated[str | None, Arg('PATH')] = None
    data: Annotated[str | None, Arg('DIR')] = None
    size: Annotated[int, Arg('PX', at_least=1)] = 224
    batch_size: Annotated[int, Arg(at_least=2)] = 32
    workers: Annotated[int | None, Arg('N', at_least=0)] = None
    repeats: Annotated[int, Arg('R', at_least=1)] = 5
    batches: Annotated[int, Arg(at_least=1)] = 4
    seconds: Annotated[float, Arg(above=0)] = 2
    videos: Annotated[int, Arg(at_least=1)] = 64
    frames: Annotated[int, Arg(at_least=1)] = 22
    frame_size: Annotated[int, Arg(at_least=1)] = 256
    json: Annotated[str | None, Arg('FILE')] = None
    out: Annotated[str | None, Arg('PICTURE')] = None
    cfg_options: Annotated[dict, Arg('KEY=VALUE', action=DictAction)] = field(default_factory=dict)


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    command = command_line('tools/benchmarks/throughput.py', argv)
    init_default_scope('mmpretrain')
    if not MMLogger.check_instance_created('throughput'):  # otherwise MMEngine logs the initialisation of every weight
        MMLogger.get_instance('throughput', log_level='ERROR')
    only_plain_checkpoints()
    if options.out is not None:
        check_picture(options.out)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.filterwarnings('ignore', message="Only use 'alpha' for pillow backend")  # from mmcv in every worker
        result = {'command': command, **measure(options, Path(scratch))}
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, 110)  # width of the table
    console.print(figures_table(result))
    if result['on_device']:
        console.print(
            f'The loader of {", ".join(result["on_device"])} returns frames that are not augmented yet: compare a '
            f'loader that augments with loader + preprocessor.'
        )
    workers = ', '.join(f'{name} {count}' for name, count in result['workers'].items())
    console.print(f'Files are in the cache of the system. Workers: {workers}. Hooks of a run are left out.')
    if result['released'] is not None:
        console.print("The authors' step sends each view through the network twice.")
        console.print(f'released: {result["released"]["precision"]}, {"; ".join(ADAPTED)}.', markup=False)
    if options.json is not None:
        write_text(options.json, json.dumps(result, indent=1) + '\n')
    if options.out is not None:
        title = f'{options.size} px, batch {options.batch_size}, {result["device"]} (threads: {result["threads"]})'
        save_picture(throughput_figure(result, title), options.out)
    written = [path for path in (options.json, options.out) if path is not None]
    if written:
        print(f'wrote {" and ".join(written)}')
    return 0


def measure(options: Options, scratch: Path) -> dict:
    """Build everything, time it, and return the contents of the JSON file."""
    configs = named_configs(options.config)
    code = import_released(options.released) if options.released is not None else None
    data = options.data
    if data is None:
        print(f'making {options.videos} clips of {options.frames} frames …', file=sys.stderr)
        data = write_synthetic_videos(scratch / 'clips', options.videos, options.frames, options.frame_size)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    ours = []
    for name, path in configs.items():
        cfg = benchmark_config(path, data, options.size, options.batch_size, options.workers, options.cfg_options)
        ours.append(ConfigWorkload(cfg, name, device))
        if ours[-1].view_size != (options.size, options.size):
            raise ValueError(f'{path} makes views of {ours[-1].view_size} px regardless of --size: pass that size.')
    workloads = list(ours)
    released = None
    if code is not None:
        frames = write_jpeg_folders(data, ours[0].video_ids(), scratch / 'released')
        beside = ReleasedWorkload(code, frames, options.size, options.batch_size, device, options.workers)
        workloads.append(beside)
        released = {'commit': code.commit, 'precision': beside.precision, 'adapted': list(ADAPTED)}
    found = measure_throughput(
        workloads,
        options.repeats,
        options.batches,
        options.seconds,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    baseline = 'released' if code is not None else ours[0].name
    return {
        **machine_facts(device),
        'size': options.size,
        'batch_size': options.batch_size,
        'repeats': options.repeats,
        'configs': configs,
        'on_device': [workload.name for workload in ours if workload.makes_views],
        'workers': {workload.name: workload.workers for workload in workloads},
        'data': os.fspath(options.data)
        if options.data
        else f'{options.videos} synthetic clips of {options.frames} frames',
        'num_videos': len(ours[0].video_ids()),
        **to_plain(found, baseline if len(workloads) > 1 else None),
        'released': released,
    }


if __name__ == '__main__':
    sys.exit(main())
