"""Pretrain from clips: convert, check, hold back, train, export, report."""

import shlex
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from rich.console import Console

from uscl.core.errors import SourceError
from uscl.core.folder_lock import lock_folder
from uscl.data.folder_digest import data_digest
from uscl.pretraining_options import PretrainingOptions
from uscl.reports.html_page import percent
from uscl_plugin.comparison.training_run import can_resume
from uscl_plugin.evaluation.pretraining_report import report_pretraining
from uscl_plugin.evaluation.report_options import ReportOptions
from uscl_plugin.hooks.contrastive_monitor import CollapseError
from uscl_plugin.hooks.finite_loss import NonFiniteError
from uscl_plugin.running.graceful_stop import stop_on_signal
from uscl_plugin.running.quiet_output import output_to
from uscl_plugin.weights.backbone_export import export_backbone
from uscl_plugin.weights.plain_checkpoints import only_plain_checkpoints

from .pretraining_data import PretrainingData, check_data, prepare_data
from .run_config import RECORD, make_run_config
from .run_warnings import WarningCollector
from .training_progress import TrainingProgress, TrainingStoppedError

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
    only_plain_checkpoints()
    init_default_scope('mmpretrain')
    with ExitStack() as stack:
        console = Console(highlight=False, markup=False, emoji=False)
        if not options.verbose:
            shown = stack.enter_context(output_to(out / LOG / 'console.log'))
            console = Console(file=shown, highlight=False, markup=False, emoji=False)
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
            cfg = Config.fromfile(path)
            check_same_run(self.out, cfg.get(RECORD) or {}, request, digest, self.options.resume)
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
        with stop_on_signal() as request:
            runner = Runner.from_cfg(cfg)
            warnings = WarningCollector(runner.logger)
            progress = TrainingProgress(self.console, request)
            runner.register_hook(progress)
            try:
                runner.train()
                return None
            except TrainingStoppedError:
                return runner.epoch + 1
            except torch.OutOfMemoryError as error:
                raise SourceError(
                    f'the GPU has too little memory for batches of {cfg.train_dataloader.batch_size} videos at '
                    f'{self.options.size} px: set a smaller --batch-size.', exit_code=1,
                ) from error  # fmt: skip
            except (NonFiniteError, CollapseError) as error:
                raise SourceError(str(error), exit_code=1) from error
            except RuntimeError as error:
                if request.is_set and 'DataLoader worker' in str(error):  # stopped by the same signal
                    return runner.epoch + 1
                raise
            finally:
                progress.close()
                runner.call_hook('after_run')  # also if it was stopped: releases the folder
                _put_logs_away(runner, self.out / LOG)
                for warning in warnings.messages:
                    self.console.print(f'warning: {warning}')


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
        following = ['evaluate', 'random', f'{options.method}={out / "backbone.pth"}', '--data', str(data.folder)]
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


def check_same_run(out: Path, record: Mapping[str, Any], request: Mapping[str, Any], digest: str, resume: bool) -> None:
    """Check that what is asked for is the run that a folder has.

    Args:
        out: The folder.
        record: What its config says of how it was made.
        request: The options that matter, as now given.
        digest: Of the data, as they are now.
        resume: Whether the run's own options are to be used, whatever is asked for.

    Raises:
        SourceError: It is another.
    """
    if record.get('data_digest') != digest:
        raise SourceError(f'{out} has a run on other data, or these have changed: choose another --out, or delete it.')
    stored = record.get('options') or {}
    others = [f'--{key.replace("_", "-")} {stored.get(key)}' for key in request if stored.get(key) != request[key]]
    if others and not resume:
        raise SourceError(
            f'{out} has a run with {", ".join(others)}: choose another --out, or add --resume to go on with that run.'
        )


def _request(options: PretrainingOptions) -> dict[str, Any]:
    """The options that the result depends on."""
    others = ('clips', 'out', 'workers', 'device', 'resume', 'verbose')
    return {key: value for key, value in asdict(options).items() if key not in others}


def _put_logs_away(runner: Runner, folder: Path) -> None:
    """Move what MMEngine logged beside the checkpoints, by time of its start, into one folder."""
    runner.visualizer.close()
    for handler in list(runner.logger.handlers):
        handler.close()
        runner.logger.removeHandler(handler)
    logs = Path(runner.work_dir) / runner.timestamp
    if logs.is_dir():
        shutil.move(logs, folder / runner.timestamp)
