"""Write one web page that shows how well a detector finds the lesions of its config's test data.

python tools/analysis/report_detection.py CONFIG CKPT --out report.html
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger

from uscl.core.command_line import as_command, command_line
from uscl.core.environment import installed_versions
from uscl_plugin.compat.quiet import without_false_alarms
from uscl_plugin.running.host_tools import STAND_IN, config_needs, host_tool
from uscl_plugin.weights.plain_checkpoints import only_plain_checkpoints


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='detection config, such as those of configs/bus_uclm')
    parser.add_argument('checkpoint', metavar='CKPT', help='checkpoint of a run with it')
    parser.add_argument('--out', default='report.html', help='page; numbers beside it, .json (default: %(default)s)')
    parser.add_argument('--num', type=int, default=12, help='images: half best, half worst (default: %(default)s)')
    parser.add_argument(
        '--score', type=float, default=0.3, help='lowest score of predictions that count (default: %(default)s)'
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, help='changes to the config')
    args = parser.parse_args(argv)
    if args.num < 1 or not 0 <= args.score <= 1:
        parser.error('--num should be at least 1, --score from 0 to 1')
    if Path(args.out).suffix != '.html':
        parser.error(f'--out should end with .html, got {args.out}')
    return args


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    args = parse_args(argv)
    command = command_line('tools/analysis/report_detection.py', argv)
    only_plain_checkpoints()
    scope, needs_stand_in = config_needs(Path(args.config))
    if scope != 'mmdet':
        raise ValueError(f'{args.config} is for {scope}, not for mmdet: pass the config of a detector.')
    host_tool(scope, 'test')  # refuses where MMDetection is missing
    with without_false_alarms():
        if needs_stand_in:  # before MMDetection, which imports modules that need the ops
            import_module(STAND_IN)
        cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    MMLogger.get_instance('report', log_level='WARNING')
    return _report(cfg, args, command)


def _report(cfg: Config, args: argparse.Namespace, command: str) -> int:
    from mmengine.fileio import dump

    from uscl.core.atomic_files import write_atomically
    from uscl.reports.detection_report import write_detection_report
    from uscl.reports.html_page import percent
    from uscl.stats.detection_summary import summarise_detections
    from uscl_plugin.detection.inference import run_detector

    detections = run_detector(cfg, args.checkpoint)
    summary = summarise_detections(detections, args.score)
    versions = ', '.join(f'{name} {version}' for name, version in installed_versions().items())
    facts = {'command': command, 'config': args.config, 'checkpoint': args.checkpoint, 'versions': versions}
    numbers = Path(args.out).with_suffix('.json')
    write_atomically(numbers, lambda path: dump({**facts, **summary}, path, file_format='json', indent=1))
    write_detection_report(args.out, detections, summary, facts, args.num)
    for name in detections.kinds:
        found = summary[name]
        print(
            f'{name:>4}: AP {percent(found["AP"])}, AP50 {percent(found["AP50"])}, sensitivity '
            f'{percent(found["sensitivity"])} at score {args.score:g}'
        )
    print(f'wrote {args.out} and {numbers}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
