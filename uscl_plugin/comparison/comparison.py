"""Run every method with every seed: pretrain, evaluate, detect. Finished rows are kept; failures are reported."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from uscl.checks.seen_data import seen_of
from uscl.data.annotations import read_annotations
from uscl.data.folder_digest import data_digest
from uscl.options.comparison_options import ComparisonOptions
from uscl.options.evaluation_options import EvaluationOptions
from uscl.stats.classification import classification_metrics
from uscl.stats.evaluation_summary import honest_selection
from uscl.stats.predictions import Predictions
from uscl_plugin.evaluation.backbones import check_backbones
from uscl_plugin.evaluation.cross_validation import CrossValidation
from uscl_plugin.evaluation.leaks import Leaks, TestedClips
from uscl_plugin.weights.input_metadata import file_source

from .backbone_choice import start_from
from .detection_config import read_detector
from .detector_run import run_detector
from .methods import Method, parse_methods
from .pretraining_config import pretraining_config
from .training_run import run_training

METRICS = ('accuracy', 'balanced_accuracy', 'macro_f1')
FINISHED = 'finished'


@dataclass
class Row:
    """One method with one seed.

    Attributes:
        method: Name of the method.
        seed: Seed of pretraining, folds and evaluation.
        status: ``finished``, or ``failed: `` and the reason.
        metrics: Video-level metrics pooled over folds, and the detector's; names are :data:`METRICS` and the detector's
            measures.
        seconds: Wall-clock time of everything run for the row, now or earlier.
        pretraining_seconds: Wall-clock time of its pretraining; None for given weights.
        epochs: Number of pretraining epochs; None for given weights.
        views: Number of views used in pretraining; None for given weights.
        steps: Number of pretraining steps; None for given weights.
        checkpoint: The evaluated checkpoint.
    """

    method: str
    seed: int
    status: str = FINISHED
    metrics: dict[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0
    pretraining_seconds: float | None = None
    epochs: int | None = None
    views: int | None = None
    steps: int | None = None
    checkpoint: str = ''

    def as_dict(self, measures: Sequence[str] = ()) -> dict[str, Any]:
        """The row as a flat dict, for JSON; a failed row has the same keys, with None.

        Args:
            measures: Detector measures that any row has.
        """
        facts = {key: value for key, value in vars(self).items() if key != 'metrics'}
        return (
            {'method': self.method, 'seed': self.seed, 'status': self.status}
            | {name: self.metrics.get(name) for name in (*METRICS, *measures)}
            | facts
        )


class Comparison:
    """Runs all unfinished rows seed by seed, so that an interrupted table covers every method.

    Args:
        options: Options of the comparison.
        report: Called with a line for each event.

    Attributes:
        methods: Methods of the rows.
        rows: One per method and seed, as far as they were run.
        runs: Method → selection → seed → predictions for all test frames, from the finished rows.
        classes: Class names of the evaluation.
        failures: (Step, method, seed) → why that step, 'training', 'evaluation' or 'detector', has failed elsewhere.

    Raises:
        FileNotFoundError: Data, configs or weights are missing.
        ValueError: They are damaged, or a method is unknown.
    """

    def __init__(self, options: ComparisonOptions, report: Callable[[str], None] = print) -> None:
        self.options = options
        self.methods = parse_methods(options.methods, options.imagenet_weights)
        self.out = Path(options.out)
        self.report = report
        self.rows: list[Row] = []
        self.runs: dict[str, dict[str, dict[int, Predictions]]] = {}
        self.classes: list[str] = []
        self.failures: dict[tuple[str, str, int], str] = {}
        self._warned: set[str] = set()
        # Once here instead of in every row.
        for data in (options.eval_data, options.pretrain_data):
            annotation_file = Path(data).expanduser() / 'annotations.json'
            read_annotations(annotation_file)
        self._pretraining_data = data_digest(annotation_file.parent)
        self._check()

    def run(self, after_each: Callable[[], None] = lambda: None) -> bool:
        """Run all rows.

        Args:
            after_each: Called after each row, to write the results so far.

        Returns:
            Whether all rows finished.
        """
        total = self.options.seeds * len(self.methods)
        for seed in range(self.options.seeds):
            for method in self.methods:
                row = Row(method.name, seed)
                self.rows.append(row)
                self.report(f'[{len(self.rows)}/{total}] {method.name}, seed {seed}')
                try:
                    self._run(method, row)
                except Exception as error:  # a faulty user config must not stop the other rows
                    row.status = f'failed: {error}' if isinstance(error, OSError | ValueError) else f'failed: {error!r}'
                    self.report(f'  {row.status}')
                after_each()
        return all(row.status == FINISHED for row in self.rows)

    def measures(self, method: str, name: str) -> list[float]:
        """Values over all seeds of a method that have the measure, such as ``box AP``."""
        values = [row.metrics.get(name) for row in self.rows if row.method == method]
        return [value for value in values if value is not None]

    def _run(self, method: Method, row: Row) -> None:
        self._refuse_failed('training', row)
        spec = self.weights(method, row)
        row.checkpoint = spec.partition('=')[2] if '=' in spec else spec
        self._refuse_failed('evaluation', row)
        for selection, by_seed in self.evaluate(method.name, spec, row.seed, row).items():
            self.runs.setdefault(method.name, {}).setdefault(selection, {}).update(by_seed)
        if self.options.detection_data is None:
            return
        try:
            self._refuse_failed('detector', row)
            self.detect(method.name, spec, row)
        except (OSError, ValueError) as error:  # earlier measurements stay in the table
            raise ValueError(f'detector: {error}') from error

    def weights(self, method: Method, row: Row) -> str:
        """Pretrain if needed; return the weights as the evaluation expects them."""
        if method.weights == 'random':
            backbone = self.options.backbone
            spec = 'random' if backbone == 'resnet18' else f'random:{backbone}'
            return spec if spec == method.name else f'{method.name}={spec}'
        if method.weights is not None:
            return f'{method.name}={method.weights}'
        cfg, budget = pretraining_config(method, self.options, row.seed)
        row.epochs, row.views = budget.epochs, budget.views
        folder = self.out / 'pretraining' / method.name / f'seed{row.seed}'
        depends_on: dict[str, Any] = {'data': self._pretraining_data}
        if method.init is not None:
            start_from(cfg, method.init, folder / 'init.pth')
            depends_on['init'] = file_source(method.init)
        done = run_training(cfg, folder, depends_on)
        row.pretraining_seconds = done.seconds
        row.seconds += done.seconds
        row.steps = done.steps
        self.report(f'  pretraining: {done.steps} steps, {done.seconds:.0f} s{" (earlier)" * done.was_finished}')
        return f'{method.name}={done.checkpoint}'

    def evaluate(self, name: str, spec: str, seed: int, row: Row) -> dict[str, dict[int, Predictions]]:
        """Cross-validate one checkpoint with one seed and record the metrics; selection → seed → predictions."""
        validation = self.validation(spec, [seed])
        self._warn(validation.unknown + validation.suspicions + validation.warnings)
        began = time.perf_counter()
        by_selection = validation.run()[name]
        self._warn(validation.warnings)
        row.seconds += max(time.perf_counter() - began, sum(cell.get('seconds', 0.0) for cell in validation.cells))
        self.classes = validation.classes
        selection = honest_selection(list(by_selection))
        found = classification_metrics(by_selection[selection][seed].by_video(), len(self.classes))
        for metric in METRICS:
            value = float(found[metric])  # type: ignore[arg-type]
            row.metrics[metric] = value if isfinite(value) else None
        self.report('  ' + ', '.join(f'{metric} {100 * float(found[metric]):.1f} %' for metric in METRICS))  # type: ignore[arg-type]
        return by_selection

    def _warn(self, warnings: Sequence[str]) -> None:
        for warning in warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                self.report(f'  warning: {warning}')

    def _refuse_failed(self, step: str, row: Row) -> None:
        if reason := self.failures.get((step, row.method, row.seed)):
            raise ValueError(reason)

    def __getstate__(self) -> dict:
        """Drop what tasks on other machines do not need."""
        return {**vars(self), 'rows': [], 'runs': {}, 'report': _say_nothing}

    def validation(self, spec: str, seeds: Sequence[int]) -> CrossValidation:
        """The cross-validation of one backbone."""
        options = self.options
        return CrossValidation(
            EvaluationOptions(
                checkpoints=[spec],
                data=options.eval_data,
                out=str(self.out / 'evaluation'),
                folds=options.folds,
                protocol=options.protocol,
                size=options.size,
                epochs=options.finetune_epochs,
                frames_per_video=options.frames_per_video,
                keep_models=False,
            ),
            report=_say_nothing,
            seeds=seeds,
        )

    def _check(self) -> None:
        """Find problems that would make every row fail before training the first."""
        options = self.options
        if any(method.config is not None for method in self.methods):
            pretraining = read_annotations(Path(options.pretrain_data).expanduser() / 'annotations.json')['data_list']
            leaks = Leaks()
            chosen = [e for e in pretraining if options.pretrain_split in (None, e['split'])]
            tested = TestedClips(Path(options.eval_data).expanduser(), options.folds)
            tested.compare(f'a network pretrained on {options.pretrain_data}', seen_of(chosen, None), leaks)
            if leaks.certain:
                raise ValueError(
                    f'{leaks.certain[0]}: use other data than {options.eval_data}, or --pretrain-split train with '
                    f'--folds split.'
                )
        self.validation('random', range(options.seeds))
        files = {method.name: method.weights or method.init for method in self.methods if method.weights != 'random'}
        check_backbones([f'{name}={file}' for name, file in files.items() if file is not None])
        if options.detection_data is None:
            return
        for side in ('train', 'val'):
            if not (Path(options.detection_data).expanduser() / 'annotations' / f'{side}.json').is_file():
                raise FileNotFoundError(
                    f'{options.detection_data}/annotations/{side}.json does not exist: run lesions_to_coco.py --val N.'
                )
        read_detector(options.detection_config)

    def detect(self, name: str, spec: str, row: Row) -> None:
        """Train a detector from a checkpoint and record its measures."""
        folder = self.out / 'detection' / name / f'seed{row.seed}'
        done, found = run_detector(spec, row.seed, folder, self.options)
        row.seconds += done.seconds
        row.metrics |= found
        figures = ', '.join(f'{measure} {100 * value:.1f} %' for measure, value in found.items())
        self.report(
            f'  detector: {done.steps} steps, {done.seconds:.0f} s{" (earlier)" * done.was_finished}, {figures}'
        )


def _say_nothing(line: str) -> None:
    pass
