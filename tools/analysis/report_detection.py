"""Write a web page that shows how well a detector finds the lesions in its config's test data.

python tools/analysis/report_detection.py CONFIG CKPT --out report.html
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from uscl.core.command_line import as_command, command_line
from uscl.core.environment import installed_versions
from uscl.core.options import Arg, parse_options

if TYPE_CHECKING:
    from mmengine.config import Config


@dataclass(frozen=True, kw_only=True)
class DetectionReportOptions:
    """Options of the detection report.

    Attributes:
        config: Detection config, such as those of configs/bus_uclm.
        checkpoint: Checkpoint of a run with this config.
        out: Page to write, .html; the numbers are written next to it, .json.
        num: Number of images: half best, half worst.
        score: Minimum score of predictions that count, in [0, 1].
        cfg_options: Changes to the config.
    """

    config: Annotated[str, Arg(positional=True)]
    checkpoint: Annotated[str, Arg('CKPT', positional=True)]
    out: str = 'report.html'
    num: Annotated[int, Arg(at_least=1)] = 12
    score: Annotated[float, Arg(at_least=0, at_most=1)] = 0.3
    cfg_options: Annotated[list[str], Arg('KEY=VALUE')] = field(default_factory=list)

    def __post_init__(self) -> None:
        if Path(self.out).suffix != '.html':
            raise ValueError(f'--out should end with .html, got {self.out}')


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(DetectionReportOptions, argv, __doc__)
    command = command_line('tools/analysis/report_detection.py', argv)
    # Here, so that --help need not wait for the hosts.
    from mmengine.config import Config
    from mmengine.logging import MMLogger

    from uscl_plugin.compat.quiet import without_false_alarms
    from uscl_plugin.running.host_tools import STAND_IN, config_needs, host_tool
    from uscl_plugin.running.launch import parse_cfg_options
    from uscl_plugin.weights.plain_checkpoints import only_plain_checkpoints

    only_plain_checkpoints()
    scope, needs_stand_in = config_needs(Path(options.config))
    if scope != 'mmdet':
        raise ValueError(f'{options.config} is for {scope}, not for mmdet: pass a detector config.')
    host_tool(scope, 'test')  # fails if MMDetection is missing
    with without_false_alarms():
        if needs_stand_in:  # before MMDetection, which imports modules that need the ops
            import_module(STAND_IN)
        cfg = Config.fromfile(options.config)
    cfg.merge_from_dict(parse_cfg_options(options.cfg_options))
    MMLogger.get_instance('report', log_level='WARNING')
    return _report(cfg, options, command)


def _report(cfg: 'Config', options: DetectionReportOptions, command: str) -> int:
    from mmengine.fileio import dump

    from uscl.core.atomic_files import write_atomically
    from uscl.reports.detection_report import write_detection_report
    from uscl.reports.html_page import percent
    from uscl.stats.detection_summary import summarise_detections
    from uscl_plugin.detection.inference import run_detector

    detections = run_detector(cfg, options.checkpoint)
    summary = summarise_detections(detections, options.score)
    versions = ', '.join(f'{name} {version}' for name, version in installed_versions().items())
    facts = {'command': command, 'config': options.config, 'checkpoint': options.checkpoint, 'versions': versions}
    numbers = Path(options.out).with_suffix('.json')
    write_atomically(numbers, lambda path: dump({**facts, **summary}, path, file_format='json', indent=1))
    write_detection_report(options.out, detections, summary, facts, options.num)
    for name in detections.kinds:
        found = summary[name]
        print(
            f'{name:>4}: AP {percent(found["AP"])}, AP50 {percent(found["AP50"])}, sensitivity '
            f'{percent(found["sensitivity"])} at score {options.score:g}'
        )
    print(f'wrote {options.out} and {numbers}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
