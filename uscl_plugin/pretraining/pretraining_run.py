"""Pretrain from clips: convert, check, hold back, train, export, report."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from rich.console import Console

from uscl.core.folder_lock import lock_folder, refuse_links
from uscl.data.folder_digest import data_digest
from uscl.options.pretraining_options import IMAGENET, PretrainingOptions
from uscl.options.report_options import ReportOptions
from uscl.reports.html_page import percent
from uscl_plugin.comparison.training_run import can_resume
from uscl_plugin.evaluation.pretraining_report import report_pretraining
from uscl_plugin.running.found_config import read_found_config
from uscl_plugin.running.quiet_output import run_console
from uscl_plugin.running.same_run import check_same_run
from uscl_plugin.running.watched_training import train_watched
from uscl_plugin.weights.backbone_export import export_backbone
from uscl_plugin.weights.plain_checkpoints import only_plain_checkpoints

from .pretraining_data import PretrainingData, check_data, prepare_data
from .run_config import IMAGENET_FILE, RECORD, make_run_config

LOG = 'log'  # OUT/log: what the hosts print, and the curves


def pretrain(options: PretrainingOptions, command: str) -> int:
    """Run ``uscl pretrain``.

    Args:
        options: Its options.
        command: The command line, to be stored, and shown as the way to go on.

    Returns:
        The exit status: 0, or 130 if the run was stopped.

    Raises:
        SourceError: The clips cannot be used, or OUT has a run with other settings.
        FolderInUseError: Another process writes to OUT.
        OSError: Something cannot be read or written.
        ValueError: Data, options and weights do not fit together.
    """
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    refuse_links(out)
    only_plain_checkpoints()
    init_default_scope('mmpretrain')
    with run_console(out / LOG / 'console.log', options.verbose) as console:
        return _Run(options, command, console).run()


class _Run:
    def __init__(self, options: PretrainingOptions, command: str, console: Console) -> None:
        self.options, self.command, self.console = options, command, console
        self.out = Path(options.out)

    def run(self) -> int:
        with lock_folder(self.out, 'pretraining'):  # while it trains, a hook of the run locks it
            data = prepare_data(self.options, self.console.print)
            for line in [*data.lines, *check_data(data, self.out / LOG / 'check.html')]:
                self.console.print(line)
            cfg = self._config(data)
        last = self.out / f'epoch_{cfg.train_cfg.max_epochs}.pth'
        if not last.is_file():
            stopped_in = self._train(cfg)
            if stopped_in is not None:
                self.console.print(f'stopped in epoch {stopped_in}; go on with:\n{self.command}', soft_wrap=True)
                return 130
        self.console.print('exporting, and measuring what was learnt …')
        with lock_folder(self.out, 'pretraining'):
            return self._finish(data, last)

    def _finish(self, data: PretrainingData, last: Path) -> int:
        MMLogger.get_instance('report', log_level='WARNING')  # otherwise MMEngine logs how every weight was initialised
        export_backbone(last, self.out / 'backbone.pth', 'mmpretrain')
        config, page = str(self.out / 'config.py'), str(self.out / 'report.html')
        facts = report_pretraining(ReportOptions(config, str(last), page, split=data.held_out), self.command)
        for line in summary_lines(self.options, data, facts):
            self.console.print(line, soft_wrap=line.startswith('next: '))  # to be copied as it is
        return 0

    def _config(self, data: PretrainingData) -> Config:
        """That of the run in OUT, if there is one that may go on; else a new one, written there."""
        path, digest, request = self.out / 'config.py', data_digest(data.folder), _request(self.options)
        if path.is_file():
            cfg = read_found_config(path)
            asked = {} if self.options.resume else request
            record = cfg.get(RECORD) or {}
            if self.options.data_changed and record.get('data_digest') != digest:
                record['data_digest'] = digest
                cfg.dump(path)
            way = ', or add --resume to go on with that run'
            check_same_run(self.out, record, asked, digest, way, f'{way} on the data as they are, and --data-changed')
            cfg.default_hooks.provenance.data_changed = self.options.data_changed
            return cfg
        made = make_run_config(self.options, data)
        made.cfg[RECORD] = {'command': self.command, **made.chosen, 'options': request, 'data_digest': digest}
        made.cfg.dump(path)
        for line in made.lines:
            self.console.print(line)
        return Config.fromfile(path)

    def _train(self, cfg: Config) -> int | None:
        """Train to the end, or return the epoch in which the run was stopped."""
        cfg.resume = can_resume(self.out)
        batch = f'batches of {cfg.train_dataloader.batch_size} videos at {self.options.size} px'
        return train_watched(cfg, self.console, self.out / LOG, f'{batch}: set a smaller --batch-size')


def summary_lines(options: PretrainingOptions, data: PretrainingData, facts: dict[str, Any]) -> list[str]:
    """What was reached, where it lies, and the next command.

    Args:
        options: Options of the run.
        data: Its data.
        facts: Numbers of the report.
    """
    out, before, after = Path(options.out), facts['before'], facts['after']
    whose = 'held-out retrieval' if data.held_out else 'retrieval on the training videos'
    if data.can_be_evaluated():
        untrained = 'random' if options.network == 'resnet18' else f'random=random:{out / "backbone.pth"}'
        others = [untrained, *([f'imagenet={out / IMAGENET_FILE}'] if options.init == IMAGENET else [])]
        following = ['evaluate', *others, f'{options.method}={out / "backbone.pth"}', '--data', str(data.folder)]
        following += ['--folds', 'split', '--size', str(options.size), '--out', str(out / 'evaluation')]
    else:
        following = ['export', str(out / 'backbone.pth'), str(out / 'backbone_torchvision.pth'), '--to', 'torchvision']
    return [
        *([f'warning: {facts["warning"]}'] if facts['warning'] else []),
        f'reached: {whose} {percent(after["retrieval"])} (untrained {percent(before["retrieval"])}, '
        f'chance {percent(after["chance"])})',
        f'written: {out / "backbone.pth"} and {out / "report.html"}',
        f'next: {shlex.join(["uscl", *following])}',
    ]


def _request(options: PretrainingOptions) -> dict[str, Any]:
    """The options that the result depends on."""
    others = ('clips', 'out', 'workers', 'device', 'resume', 'data_changed', 'verbose')
    return {key: value for key, value in asdict(options).items() if key not in others}
