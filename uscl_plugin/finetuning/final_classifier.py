"""The final classifier of clips."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner
from rich.console import Console

from uscl.core.plurals import counted
from uscl.data.annotations import read_annotations
from uscl.data.fold_making import final_fold
from uscl.data.folder_digest import data_digest
from uscl.data.folds import group_of, write_folds
from uscl.options.finetuning_options import FinetuningOptions
from uscl_plugin.evaluation.cells import Cell
from uscl_plugin.evaluation.finetuning import MODEL, fold_config
from uscl_plugin.evaluation.probe_features import ProbeFeatures
from uscl_plugin.evaluation.probes import PROBES, selection_quality
from uscl_plugin.evaluation.protocol_config import protocol_config
from uscl_plugin.evaluation.training_features import add_training_features
from uscl_plugin.evaluation.training_measurement import measure_training

from .final_model import FinalModel
from .judgement import read_judgement, settled_options

_CHOSEN = 'strength.txt'  # what a probe has chosen


class FinalClassifier(FinalModel):
    """A classifier trained with the protocol that ``uscl evaluate`` judges; see :class:`FinalModel`."""

    kind, tag, library = 'classifier of ultrasound clips', 'image-classification', 'mmpretrain'

    def __init__(self, options: FinetuningOptions) -> None:
        super().__init__(options)
        evaluation, identity = options.evaluation, self.backbone.identity
        self._judgement = None if evaluation is None else read_judgement(evaluation, identity, options.source)
        self._settled = settled_options(options, self._judgement)
        annotations = read_annotations(Path(options.data).expanduser() / 'annotations.json')
        entries = [entry for entry in annotations['data_list'] if entry['label'] is not None]
        try:
            self._folds = final_fold(entries, options.seed, self._settled.val_fraction)
        except ValueError as error:
            raise ValueError(f'{options.data}: {error}') from error
        used = {entry['label'] for entry in entries}
        self.classes = [name for name in annotations['metainfo']['classes'] if name in used]
        self.data_digest = data_digest(Path(options.data).expanduser())
        names = ('protocol', 'size', 'epochs', 'frames_per_video', 'val_fraction', 'batch_norm')
        self.settings = {name: getattr(self._settled, name) for name in names}
        self.lines, self.facts = self._describe_data(entries)

    def make_config(self) -> Config:
        """See the base class."""
        folds = self.work.resolve() / 'folds.json'
        write_folds(folds, self._folds)
        data = dict(fold_file=str(folds), fold=0, classes=self.classes)
        sides = {side: bool(names) for side, names in self._folds.folds[0].items()}
        settled, seed = self._settled, self.options.seed
        cfg = fold_config(protocol_config(settled), data, sides, self.backbone, self.write_backbone(), seed, settled)
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            if loader is not None and self.options.workers is not None:
                loader.update(num_workers=self.options.workers, persistent_workers=self.options.workers > 0)
        cfg.default_hooks.checkpoint.update(interval=1, save_best=None)
        return cfg

    def quality(self, runner: Runner, metrics: Mapping[str, Any]) -> tuple[float, ...]:
        """Accuracy of frames, then their cross-entropy, as an evaluation chooses."""
        found = runner.val_loop.evaluator.metrics[0].predictions['val']
        return selection_quality(found.probabilities, found.labels)

    def describe(self, metrics: Mapping[str, Any]) -> str:
        """See the base class."""
        return f'balanced accuracy {metrics["video/balanced_accuracy"]:.0%} of videos'

    def judged(self) -> tuple[str, str]:
        """See the base class."""
        if (judgement := self._judgement) is None:
            clause = 'not judged on other patients: uscl evaluate does that, see --evaluation'
            return clause, 'This model has not been judged: nobody knows how good it is on other patients.'
        return (
            f'balanced accuracy {judgement.headline} of videos of other patients, in {judgement.folder}',
            '\n\n'.join([*judgement.sentences(self.data_digest), judgement.table()]),
        )

    def train(self, cfg: Config, console: Console) -> int | None:
        """See the base class; a probe is fitted to features."""
        if self._settled.protocol not in PROBES:
            if (stopped_in := super().train(cfg, console)) is None:
                model = self.work / MODEL
                add_training_features(model, measure_training(model, cfg))
            return stopped_in
        console.print('measuring the features of all frames …')
        features = ProbeFeatures(self.backbone, self._settled, self.data_digest)
        found = features.probe(self._folds, 0, cfg, Cell(self.work))
        chosen = found.chosen.get('inner-val')
        how = 'fixed, as no patients were held back' if chosen is None else f'{chosen:g}, chosen on patients held back'
        (self.work / _CHOSEN).write_text(f'a linear probe on all labelled frames, C {how}', encoding='utf-8')
        return None

    def reached(self, cfg: Config) -> str:
        """See the base class."""
        probe = self.work / _CHOSEN
        return probe.read_text(encoding='utf-8') if probe.is_file() else super().reached(cfg)

    def _describe_data(self, entries: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[tuple[str, str]]]:
        side = self._folds.sides(0)
        train, val = ([e for e in entries if side[e['video_id']] == part] for part in ('train', 'val'))
        lines = [f'training on {self._count(train)}']
        if val:
            lines.append(f'{self._count(val)} choose the epoch')
        elif self._settled.val_fraction:
            lines.append('nothing is held back to choose the epoch: too few patients, so the last one is taken')
        facts = [
            ('classes', ', '.join(self.classes)),
            ('protocol', f'{self._settled.protocol}, seed {self.options.seed}'),
            ('trained on', self._count(train)),
            ('epoch chosen on', self._count(val) if val else 'nothing: it is the last one'),
        ]
        return [*lines, *self._folds.warnings], facts

    def _count(self, entries: Sequence[Mapping[str, Any]]) -> str:
        most = self._settled.frames_per_video
        frames = sum(min(entry['num_frames'], most or entry['num_frames']) for entry in entries)
        labels = Counter(entry['label'] for entry in entries)
        named = ', '.join(f'{name} {labels[name]}' for name in self.classes)
        patients = counted(len(set(map(group_of, entries))), 'patient')
        return f'{counted(len(entries), "video")} of {patients} ({counted(frames, "frame")}): {named}'
