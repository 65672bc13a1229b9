"""How fast does pretraining run, and does the network wait for frames?

Loader alone, network alone and both together, in videos a second, of one config or of several in turn, on made-up
clips or on DIR. With --released, the authors' code from a clone of github.com/983632847/USCL runs beside them, its
loop, data set and augmentations as they are, on the same frames, and every figure is compared repeat by repeat.

    python tools/benchmarks/throughput.py --released USCL --json throughput.json --out throughput.png
"""

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

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
from uscl.core.command_line import command_line, positive_float, positive_int
from uscl.data.synthetic_videos import write_synthetic_videos
from uscl.reports.figures import check_picture, save_picture
from uscl_plugin.weights.plain_checkpoints import only_plain_checkpoints

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'uscl'
# The first that is there.
FASTEST = ('uscl_resnet18_1xb32-300e_us4-224px_device-aug.py', 'uscl_resnet18_1xb32-300e_us4-224px.py')


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    default = next(path for name in FASTEST if (path := CONFIGS / name).is_file())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--config', nargs='+', default=[str(default)], metavar='[NAME=]CONFIG', help=f'(default: {default.name})'
    )
    parser.add_argument('--released', metavar='PATH', help="clone of the authors' code, to time beside it")
    parser.add_argument('--data', metavar='DIR', help='folder that a converter wrote (default: made-up clips)')
    parser.add_argument('--size', type=positive_int, default=224, metavar='PX', help='side of a view (default: 224)')
    parser.add_argument('--batch-size', type=positive_int, default=32, help='videos in a batch (default: 32)')
    parser.add_argument('--workers', type=int, metavar='N', help="processes that load (default: each config's own)")
    parser.add_argument('--repeats', type=positive_int, default=5, metavar='R', help='alternations (default: 5)')
    parser.add_argument('--batches', type=positive_int, default=4, help='in a measurement, at least (default: 4)')
    parser.add_argument('--seconds', type=positive_float, default=2, help='of a measurement, at least (default: 2)')
    parser.add_argument('--videos', type=positive_int, default=64, help='made-up clips (default: 64)')
    parser.add_argument('--frames', type=positive_int, default=22, help='of a made-up clip (default: 22)')
    parser.add_argument('--frame-size', type=positive_int, default=256, help='of made-up clips, px (default: 256)')
    parser.add_argument('--json', metavar='FILE', help='write the figures to this file, too')
    parser.add_argument('--out', metavar='PICTURE', help='write a bar chart to this file')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, help='changes to every config')
    args = parser.parse_args(argv)
    if args.batch_size < 2:
        parser.error('--batch-size should be at least 2: one pair has no negatives')
    if args.workers is not None and args.workers < 0:
        parser.error(f'--workers should not be below 0, got {args.workers}')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    args = parse_args(argv)
    command = command_line('tools/benchmarks/throughput.py', argv)
    init_default_scope('mmpretrain')
    if not MMLogger.check_instance_created('throughput'):  # else MMEngine lists the initialisation of every weight
        MMLogger.get_instance('throughput', log_level='ERROR')
    only_plain_checkpoints()
    try:
        if args.out is not None:
            check_picture(args.out)
        with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
            warnings.filterwarnings('ignore', message="Only use 'alpha' for pillow backend")  # mmcv, every worker
            result = {'command': command, **measure(args, Path(scratch))}
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, 110)  # of the table
    console.print(figures_table(result))
    if result['on_device']:
        console.print(
            f'The loader of {", ".join(result["on_device"])} gives frames that are not augmented yet: the like of a '
            f'loader that augments is loader + preprocessor.'
        )
    workers = ', '.join(f'{name} {count}' for name, count in result['workers'].items())
    console.print(f'Files are in the cache of the system. Workers: {workers}. Hooks of a run are left out.')
    if result['released'] is not None:
        console.print("The authors' step sends each view through the network twice.")
        console.print(f'released: {result["released"]["precision"]}, {"; ".join(ADAPTED)}.', markup=False)
    if args.json is not None:
        write_text(args.json, json.dumps(result, indent=1) + '\n')
    if args.out is not None:
        title = f'{args.size} px, {args.batch_size} videos a batch, {result["device"]} (threads: {result["threads"]})'
        save_picture(throughput_figure(result, title), args.out)
    written = [path for path in (args.json, args.out) if path is not None]
    if written:
        print(f'wrote {" and ".join(written)}')
    return 0


def measure(args: argparse.Namespace, scratch: Path) -> dict:
    """Build everything, time it, and return what the JSON file holds."""
    configs = named_configs(args.config)
    code = import_released(args.released) if args.released is not None else None
    data = args.data
    if data is None:
        print(f'making {args.videos} clips of {args.frames} frames …', file=sys.stderr)
        data = write_synthetic_videos(scratch / 'clips', args.videos, args.frames, args.frame_size)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    ours = []
    for name, path in configs.items():
        cfg = benchmark_config(path, data, args.size, args.batch_size, args.workers, args.cfg_options)
        ours.append(ConfigWorkload(cfg, name, device))
        if ours[-1].view_size != (args.size, args.size):
            raise ValueError(f'{path} makes views of {ours[-1].view_size} px whatever --size says: give that --size.')
    workloads = list(ours)
    released = None
    if code is not None:
        frames = write_jpeg_folders(data, ours[0].video_ids(), scratch / 'released')
        beside = ReleasedWorkload(code, frames, args.size, args.batch_size, device, args.workers)
        workloads.append(beside)
        released = {'commit': code.commit, 'precision': beside.precision, 'adapted': list(ADAPTED)}
    found = measure_throughput(
        workloads, args.repeats, args.batches, args.seconds, lambda line: print(line, file=sys.stderr, flush=True)
    )
    baseline = 'released' if code is not None else ours[0].name
    return {
        **machine_facts(device),
        'size': args.size,
        'batch_size': args.batch_size,
        'repeats': args.repeats,
        'configs': configs,
        'on_device': [workload.name for workload in ours if workload.makes_views],
        'workers': {workload.name: workload.workers for workload in workloads},
        'data': os.fspath(args.data) if args.data else f'{args.videos} synthetic clips of {args.frames} frames',
        'num_videos': len(ours[0].video_ids()),
        **to_plain(found, baseline if len(workloads) > 1 else None),
        'released': released,
    }


if __name__ == '__main__':
    sys.exit(main())
