"""Evaluate backbones by cross-validation: each fold of each checkpoint and seed once, resuming where it stopped."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from uscl.core.digest import digest
from uscl.data.annotations import read_annotations
from uscl.data.few_patients import limit_patients
from uscl.data.fold_making import folds_of_splits, make_folds, official_folds
from uscl.data.folder_digest import data_digest
from uscl.data.folds import Folds, read_folds, write_folds
from uscl.options.evaluation_options import EvaluationOptions
from uscl.stats.predictions import Predictions, concatenate
from uscl_plugin.measures.backbone_health import BackboneHealth, health_warning

from .backbones import PretrainedBackbone, check_backbones, load_backbone, unique_names, write_backbone
from .cells import Cell, folder_of
from .finetuning import FoldOutcome, finetune_fold, fold_config
from .leaks import find_leaks
from .probe_features import ProbeFeatures
from .probes import PROBES
from .protocol_config import protocol_config, protocol_digest

# Training data of the classifiers whose test predictions are shown; it differs between protocols.
TRAINED_ON = {
    True: 'Every classifier is fitted to the whole training part, including the inner validation part.',
    False: 'All choices are epochs of one run, trained without the inner validation part; the paper has none '
    '(--val-fraction 0).',
}


class CrossValidation:
    """Runs all unfinished folds and collects all predictions.

    Args:
        options: Options of the evaluation.
        report: Called with a line for each finished cell.
        seeds: Seeds to run; None: 0 to ``options.seeds`` - 1.

    Attributes:
        classes: Names of the classes.
        warnings: Warnings for readers of the results.
        leak: How patients are on both sides; empty if they are not.
        suspicions: How they may be, and what cannot be compared, a clause each.
        unknown: Checkpoints of which not all training data are known, a clause each.
        cells: Facts of every cell, for ``metrics.json``.
        backbones: Method → what its backbone uses, measured with the first seed; complete after :meth:`run`.

    Raises:
        FileNotFoundError: A checkpoint or the data are missing.
        ValueError: Data, folds, checkpoints or earlier results do not fit the options; there is only one class.
    """

    def __init__(
        self, options: EvaluationOptions, report: Callable[[str], None] = print, seeds: Sequence[int] | None = None
    ) -> None:
        self.options = options
        self.out = Path(options.out)
        self.report = report
        self.annotation_file = Path(options.data).expanduser() / 'annotations.json'
        self.annotations = read_annotations(self.annotation_file)
        entries = self.annotations['data_list']
        labels = {entry['label'] for entry in entries if options.only_split in (None, entry['split'])}
        if options.only_split is not None and not labels:
            known = sorted({entry['split'] for entry in entries} - {None})
            raise ValueError(
                f'{self.annotation_file} has no video of the split {options.only_split}, only of '
                f'{", ".join(known) or "none"}: pass one of these as --only-split, or convert with --val-fraction.'
            )
        # Classes without videos would only be empty columns.
        self.classes = [name for name in self.annotations['metainfo']['classes'] if name in labels]
        self.warnings: list[str] = []
        self.cells: list[dict] = []
        self.backbones: dict[str, BackboneHealth] = {}
        self._written: set[Path] = set()
        self.methods = dict(zip(unique_names(options.checkpoints), options.checkpoints, strict=True))
        if len({folder_of(method) for method in self.methods}) < len(self.methods):
            raise ValueError(
                f'The names {", ".join(self.methods)} would use the same folder: write NAME=PATH with other names.'
            )
        check_backbones(options.checkpoints, options.given_input())
        if len(self.classes) == 1:
            raise ValueError(
                f'{self.annotation_file}: all labelled videos are {self.classes[0]}, but a classifier needs two '
                f'classes: add clips with another label and convert again.'
            )
        leaks = find_leaks(options, self.annotations['metainfo'], self.annotation_file.parent)
        self.leak, self.suspicions, self.unknown = '; '.join(leaks.certain), leaks.possible, leaks.unknown
        if self.leak and not options.allow_leak:
            raise ValueError(f'{self.leak}: the figures would be inflated. Pass --allow-leak to see them anyway.')
        self._data = data_digest(self.annotation_file.parent)
        self._protocol = None if options.protocol in PROBES else protocol_digest(options)
        self.folds = {seed: self._make_folds(seed) for seed in seeds or range(options.seeds)}
        self.warnings += list(dict.fromkeys(note for folds in self.folds.values() for note in folds.warnings))

    def run(self) -> dict[str, dict[str, dict[int, Predictions]]]:
        """Run every unfinished cell.

        Returns:
            Method → selection → seed → predictions for the test frames of all folds.
        """
        self.write_folds()
        pooled: dict[str, dict[str, dict[int, Predictions]]] = {}
        for method in self.methods:
            for seed, folds in self.folds.items():
                by_selection: dict[str, list[Predictions]] = {}
                for found in self._run_folds(method, seed, folds):
                    for selection, predictions in found.items():
                        by_selection.setdefault(selection, []).append(predictions)
                for selection, parts in by_selection.items():
                    pooled.setdefault(method, {}).setdefault(selection, {})[seed] = concatenate(parts)
        return pooled

    def write_folds(self) -> None:
        """Write the folds of every seed.

        Raises:
            ValueError: Earlier results are of others.
        """
        for seed, folds in self.folds.items():
            path = self._fold_file(seed)
            if path.is_file() and read_folds(path).folds != folds.folds:
                raise ValueError(f'{path} contains other folds, from earlier results: choose another --out.')
            write_folds(path, folds)

    def prepare(self, method: str) -> tuple[list[tuple[int, int]], BackboneHealth]:
        """Write what the folds of a method share: its features or its weights.

        Returns:
            (Seed, fold) of those that are unfinished, and what the backbone uses.
        """
        unfinished: list[tuple[int, int]] = []
        for seed, folds in self.folds.items():
            backbone = self._load(method, seed)
            features = ProbeFeatures(backbone, self.options, self._data)
            if method not in self.backbones:
                self._measure(method, features)
            known = len(unfinished)
            for number in range(len(folds.folds)):
                if self.cell(method, seed, number).load(self._fingerprint(backbone, seed, number)) is None:
                    unfinished.append((seed, number))
            if len(unfinished) > known and self.options.protocol in PROBES:
                features.make()
            elif len(unfinished) > known:
                self._write_backbone(method, backbone, seed)
        return unfinished, self.backbones[method]

    def run_fold(self, method: str, seed: int, number: int, folder: Path) -> tuple[FoldOutcome, dict, float]:
        """Run one fold after :meth:`prepare`, in a folder of its own.

        Returns:
            The outcome, the fingerprint of the cell, and the seconds that it took.
        """
        backbone = self._load(method, seed)
        self._written.add(self._backbone_file(method, backbone, seed))
        features = ProbeFeatures(backbone, self.options, self._data)
        began = time.perf_counter()
        outcome = self._run_cell(method, backbone, seed, number, features, Cell(folder))
        return outcome, self._fingerprint(backbone, seed, number), time.perf_counter() - began

    def keep(self, cell: Cell, outcome: FoldOutcome, fingerprint: dict, seconds: float) -> dict:
        """Save a finished fold, whose model is in the cell's folder; returns its facts."""
        if not self.options.keep_models:
            cell.model.unlink(missing_ok=True)
        facts = {
            'fingerprint': fingerprint,
            'chosen': outcome.chosen,
            'curve': outcome.curve,
            'model': cell.model.is_file(),
            'seconds': round(seconds, 2),
        }
        return cell.save(outcome.predictions, facts)

    def cell(self, method: str, seed: int, number: int) -> Cell:
        """Where a fold of a method and seed is kept."""
        return Cell.at(self.out, method, seed, number)

    def where(self, method: str, seed: int, number: int) -> str:
        """A fold of a method and seed in words."""
        return f'{method}, seed {seed}, fold {number + 1} of {len(self.folds[seed].folds)}'

    def __getstate__(self) -> dict:
        """Drop what tasks on other machines do not need: the annotation, which is large, and the console."""
        return {**vars(self), 'annotations': None, 'report': None}

    def _load(self, method: str, seed: int) -> PretrainedBackbone:
        return load_backbone(self.methods[method], seed, self.options.given_input())

    def _run_folds(self, method: str, seed: int, folds: Folds) -> Iterator[dict[str, Predictions]]:
        backbone = self._load(method, seed)
        features = ProbeFeatures(backbone, self.options, self._data)
        if method not in self.backbones:
            self._measure(method, features)
        for number in range(len(folds.folds)):
            cell, where = self.cell(method, seed, number), self.where(method, seed, number)
            fingerprint = self._fingerprint(backbone, seed, number)
            if (finished := cell.load(fingerprint)) is not None:
                facts, predictions = finished
                self.report(f'{where}: already finished')
                if facts['model'] and not cell.model.is_file():
                    self.warnings.append(
                        f'{cell.model} was deleted: the predictions of this fold are kept and used; delete its folder '
                        f'to train it again.'
                    )
            else:
                began = time.perf_counter()
                try:
                    outcome = self._run_cell(method, backbone, seed, number, features, cell)
                except (ValueError, AssertionError) as error:  # MMCV asserts that images load
                    raise ValueError(f'{where}: {error}') from error
                predictions = outcome.predictions
                facts = self.keep(cell, outcome, fingerprint, time.perf_counter() - began)
                self.report(f'{where}: {facts["seconds"]:.1f} s')
            self.cells.append({'method': method, 'seed': seed, 'fold': number} | facts)
            yield predictions

    def _measure(self, method: str, features: ProbeFeatures) -> None:
        try:
            health = features.health()
        except (ValueError, AssertionError) as error:  # MMCV asserts that images load
            raise ValueError(f'{method}: {error}') from error
        self.note_health(method, health)

    def note_health(self, method: str, health: BackboneHealth) -> None:
        """Keep what a backbone uses, and warn if that is too little."""
        self.backbones[method] = health
        if warning := health_warning(health):
            self.warnings.append(f'{method}: {warning}')

    def _run_cell(
        self, method: str, backbone: PretrainedBackbone, seed: int, fold: int, features: ProbeFeatures, cell: Cell
    ) -> FoldOutcome:
        if self.options.protocol in PROBES:
            return features.probe(self.folds[seed], fold, self._config(backbone, seed, fold), cell)
        checkpoint = self._write_backbone(method, backbone, seed)
        return finetune_fold(self._config(backbone, seed, fold, checkpoint), cell.folder)

    def _write_backbone(self, method: str, backbone: PretrainedBackbone, seed: int) -> Path:
        """Write the weights that runs start from, with MMPretrain's names; once per process."""
        path = self._backbone_file(method, backbone, seed)
        if path not in self._written:
            write_backbone(path, backbone)
            self._written.add(path)
        return path

    def _backbone_file(self, method: str, backbone: PretrainedBackbone, seed: int) -> Path:
        name = folder_of(method) + (f'_seed{seed}' if 'seed' in backbone.source else '')
        return (self.out / 'backbones' / f'{name}.pth').resolve()

    def _config(self, backbone: PretrainedBackbone, seed: int, fold: int, checkpoint: Path | None = None) -> Config:
        """The config of one fold, which starts from a checkpoint of the backbone."""
        data = dict(fold_file=str(self._fold_file(seed).resolve()), fold=fold, classes=self.classes)
        sides = {side: bool(ids) for side, ids in self.folds[seed].folds[fold].items()}
        return fold_config(protocol_config(self.options), data, sides, backbone, checkpoint, seed, self.options)

    def _fold_file(self, seed: int) -> Path:
        return self.out / 'folds' / f'seed{seed}.json'

    def _fingerprint(self, backbone: PretrainedBackbone, seed: int, number: int) -> dict:
        """What a cell's results depend on."""
        options = self.options
        shared: dict[str, Any] = {
            'data': self._data,
            'fold': digest(json.dumps(self.folds[seed].folds[number])),
            'seed': seed,
            'protocol': options.protocol,
            'size': options.size,
            'frames_per_video': options.frames_per_video,
            'input': {key: value for key, value in options.given_input().items() if value is not None},
        }
        if options.protocol not in PROBES:
            shared |= {
                'epochs': options.epochs,
                'batch_norm': options.batch_norm,
                'config': self._protocol,
            }
        return shared | {'checkpoint': backbone.identity}

    def _make_folds(self, seed: int) -> Folds:
        folds, number = self._whole_folds(seed), self.options.patients_per_class
        return folds if number is None else limit_patients(folds, self.annotations['data_list'], number)

    def _whole_folds(self, seed: int) -> Folds:
        options = self.options
        entries = [e for e in self.annotations['data_list'] if options.only_split in (None, e['split'])]
        if options.folds == 'split':
            return folds_of_splits(entries, seed, options.val_fraction, options.group_by)
        if options.folds == 'official':
            return official_folds(self.annotations, seed, options.val_fraction)
        if not options.folds.isdecimal() or not options.folds.isascii():
            raise ValueError(f"--folds should be a number of folds, 'split' or 'official', got {options.folds!r}.")
        return make_folds(entries, int(options.folds), seed, options.group_by, options.val_fraction)
