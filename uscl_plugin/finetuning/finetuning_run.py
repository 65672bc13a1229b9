"""Train the final model: everything labelled, the epoch chosen on patients held back, and a card."""

import shlex
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from rich.console import Console

from uscl.core.atomic_files import write_text
from uscl.core.errors import SourceError
from uscl.core.folder_lock import lock_folder
from uscl.options.finetuning_options import FinetuningOptions
from uscl_plugin.evaluation.finetuning import MODEL
from uscl_plugin.running.found_config import read_found_config
from uscl_plugin.running.host_tools import HOSTS
from uscl_plugin.running.quiet_output import run_console
from uscl_plugin.running.same_run import check_same_run
from uscl_plugin.weights.plain_checkpoints import only_plain_checkpoints
from uscl_plugin.weights.run_checkpoints import numbered_checkpoints

from .final_model import LOG, FinalModel
from .model_card import model_card
from .shared_model import write_shared_model

RECORD = 'finetuning'  # key in config.py of how it was made


def finetune(options: FinetuningOptions, command: str) -> int:
    """Run ``uscl finetune``.

    Args:
        options: Its options.
        command: The command line, to be stored, and shown as the way to go on.

    Returns:
        The exit status: 0, or 130 if the run was stopped.

    Raises:
        SourceError: The data cannot be used, options contradict an evaluation, or OUT has a run with other settings.
        FolderInUseError: Another process writes to OUT.
        OSError: Something cannot be read or written.
        ValueError: Data, options and weights do not fit together.
    """
    only_plain_checkpoints()
    if not MMLogger.check_instance_created('finetune'):  # otherwise MMEngine logs how every weight was initialised
        MMLogger.get_instance('finetune', log_level='ERROR')
    model = _make_model(options)
    out = Path(options.out)
    with lock_folder(out, 'fine-tuning'), run_console(out / LOG / 'console.log', options.verbose) as console:
        cfg = _config(model, out, command)
        for line in model.lines:
            console.print(line)
        stopped_in = None if (out / MODEL).is_file() else model.train(cfg, console)
        if stopped_in is not None:
            console.print(f'stopped in epoch {stopped_in}; go on with:\n{command}', soft_wrap=True)
            return 130
        _finish(model, cfg, out, console)
    return 0


def _make_model(options: FinetuningOptions) -> FinalModel:
    if options.task == 'detect':
        if find_spec('mmdet') is None:
            raise SourceError(f'--task detect needs MMDetection: pip install {HOSTS["mmdet"]}.')
        from .final_detector import FinalDetector

        init_default_scope('mmdet')
        return FinalDetector(options)
    from .final_classifier import FinalClassifier  # here, as it needs no MMDetection

    init_default_scope('mmpretrain')
    return FinalClassifier(options)


def _config(model: FinalModel, out: Path, command: str) -> Config:
    """That of the run in OUT, if there is one that may go on; else a new one, written there."""
    path = out / 'config.py'
    request = {'task': model.options.task, 'from_': f'SHA-256 {model.backbone.identity}', 'seed': model.options.seed}
    request |= model.settings
    if path.is_file():
        cfg = read_found_config(path)
        check_same_run(out, cfg.get(RECORD) or {}, request, model.data_digest)
        return cfg
    cfg = model.make_config()
    cfg.work_dir = str(model.work.resolve())
    cfg[RECORD] = {'command': command, 'options': request, 'data_digest': model.data_digest}
    cfg.dump(path)
    return Config.fromfile(path)


def _finish(model: FinalModel, cfg: Config, out: Path, console: Console) -> None:
    if not (out / MODEL).is_file():
        write_shared_model(model.work / MODEL, out / MODEL, [RECORD])
        (model.work / MODEL).unlink()
    for path in [*numbered_checkpoints(model.work), model.work / 'last_checkpoint']:
        path.unlink(missing_ok=True)
    write_text(out / 'README.md', model_card(model, cfg))
    console.print(f'reached: {model.reached(cfg)}; {model.judged()[0]}')
    console.print(f'written: {out / MODEL} and {out / "README.md"}')
    console.print(f'next: {shlex.join(["uscl", "predict", str(out / MODEL), "CLIP"])}', soft_wrap=True)
