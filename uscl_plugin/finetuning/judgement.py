"""What ``uscl evaluate`` has found of a backbone, and the settings that it was judged with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uscl.core.errors import SourceError
from uscl.core.escaping import for_markdown
from uscl.core.tables import markdown
from uscl.options.evaluation_options import PROBE_PROTOCOLS, EvaluationOptions
from uscl.options.finetuning_options import FinetuningOptions
from uscl.stats.classification import METRICS
from uscl.stats.summary_tables import METRIC_NAMES, estimate, percent
from uscl_plugin.evaluation.protocol_config import protocol_digest

_JUDGED = ('protocol', 'size', 'epochs', 'frames_per_video', 'batch_norm', 'val_fraction')
_DEFAULTS: dict[str, Any] = {'protocol': 'finetune3', 'size': 224, 'val_fraction': 0.2}


@dataclass(frozen=True)
class Judgement:
    """The evaluation of one backbone.

    Attributes:
        folder: Folder of the evaluation.
        method: Name of the backbone there.
        settings: The settings that it was judged with, by names of options.
        data_digest: Of the data that it was judged on.
        content: Its ``metrics.json``.
    """

    folder: Path
    method: str
    settings: dict[str, Any]
    data_digest: str
    content: Mapping[str, Any]

    @property
    def headline(self) -> str:
        """Balanced accuracy of videos of patients that were not trained on, with its interval."""
        return estimate(self._metrics('video')['balanced_accuracy'])

    def table(self) -> str:
        """The figures of the honest selection as Markdown."""
        levels = self.content['summary']['levels']
        rows = []
        for name in METRICS:
            cells = [estimate(self._metrics(level)[name]) for level in ('video', 'frame')]
            rows.append([METRIC_NAMES[name], *cells, f'{percent(levels["video"]["chance"][name])} %'])
        header = ['', f'{levels["video"]["num"]} videos', f'{levels["frame"]["num"]} frames', 'videos by chance']
        return markdown(header, rows)

    def sentences(self, data_digest: str) -> list[str]:
        """What a reader of the figures should know.

        Args:
            data_digest: Of the data that the final model is trained on.
        """
        facts, summary = self.content['facts'], self.content['summary']
        found = [
            *map(for_markdown, summary['answer']),
            f'Networks trained in this way on parts of the data (folds: {facts["folds"]}, seeds: {facts["seeds"]}, '
            f'grouped by {facts["grouped by"]}) and tested on the rest, {summary["num_patients"]} patients in all; '
            f'chosen by {summary["honest_selection"]}. This file has seen all of these patients, so its own figures '
            f'cannot be measured on them. Mean (95 % interval over patients).',
        ]
        told = {  # not who or what, which the page of the evaluation says: a model card may be published
            'leak': 'Networks were tested on patients that they had seen: the figures are inflated by leakage.',
            'suspicions': 'Networks were perhaps tested on patients that they had seen.',
            'unknown': 'Training data unknown: networks may have been tested on patients that they had seen.',
        }
        found += [f'**{sentence}**' for name, sentence in told.items() if facts[name]]
        if self.data_digest != data_digest:
            found.append('**The data have changed since: the figures are those of other data.**')
        return found + list(map(for_markdown, facts['warnings']))

    def _metrics(self, level: str) -> Mapping[str, Any]:
        summary = self.content['summary']
        return summary['levels'][level]['results'][self.method][summary['honest_selection']]['metrics']


def read_judgement(folder: str | Path, identity: str, source: str) -> Judgement:
    """Read the evaluation of a backbone.

    Args:
        folder: Folder written by ``uscl evaluate``.
        identity: See :class:`~uscl_plugin.evaluation.backbones.PretrainedBackbone`.
        source: The backbone as named on the command line, for messages.

    Raises:
        FileNotFoundError: There is no finished evaluation.
        SourceError: Another backbone was judged there, or with a protocol that leaves no network.
    """
    path = Path(folder) / 'metrics.json'
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist: pass the --out of a finished uscl evaluate.')
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        facts, cells = content['facts'], content['cells']
        judged = {cell['fingerprint']['checkpoint']: cell for cell in cells}
        if identity not in judged:
            methods = ', '.join(content['summary']['methods'])
            raise SourceError(
                f'{path} has figures of {methods}, but not of {source}: pass --from a backbone that was judged there, '
                f'or evaluate this one.'
            )
        cell = judged[identity]
        settings = {key: cell['fingerprint'].get(key) for key in _JUDGED[:-1]}
        settings |= {'val_fraction': facts['inner validation']}
        settings['input'] = cell['fingerprint']['input']
        judgement = Judgement(Path(folder), cell['method'], settings, cell['fingerprint']['data'], content)
        _ = judgement.sentences(''), judgement.table()  # of a damaged file these raise
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f'{path} is not of a finished uscl evaluate ({error!r}): evaluate again.') from error
    if settings['protocol'] == 'knn':
        raise SourceError(f'{path} was judged with knn, which leaves no classifier: evaluate with another --protocol.')
    return judgement


def settled_options(options: FinetuningOptions, judgement: Judgement | None) -> EvaluationOptions:
    """The options of an evaluation that trains as is asked for, or as was judged.

    Raises:
        SourceError: An option contradicts what was judged, or the config of the protocol has changed since.
        ValueError: An option has no effect with the protocol.
    """
    shown = {name: getattr(options, name) for name in _JUDGED}
    stated: dict[str, Any] = {'mean': options.mean, 'std': options.std, 'channel_order': options.channel_order}
    settings: dict[str, Any] = {name: _DEFAULTS.get(name) if value is None else value for name, value in shown.items()}
    if judgement is not None:
        judged = judgement.settings
        wrong = [name for name, value in shown.items() if value is not None and value != judged[name]]
        if wrong:
            given = ', '.join(f'--{name.replace("_", "-")} {shown[name]}' for name in wrong)
            were = ', '.join(str(judged[name] or 'the default') for name in wrong)
            raise SourceError(f'{judgement.folder} judged {were} and not {given}: remove it, or evaluate with it.')
        if {name: value for name, value in stated.items() if value is not None} != judged['input']:
            raise SourceError(
                f'{judgement.folder} judged the input {judged["input"] or "that the backbone states"}: give the same '
                f'--mean, --std and --channel-order.'
            )
        settings = {name: judged[name] for name in _JUDGED}
    # A config is code: the user names it, not a file in the folder of the evaluation.
    settings |= {'config': options.config, 'cfg_options': options.cfg_options or []}
    settled = EvaluationOptions(checkpoints=[options.source], data=options.data, out=options.out, **settings, **stated)
    if judgement is not None and settled.protocol not in PROBE_PROTOCOLS:
        judged_config = judgement.content['cells'][0]['fingerprint'].get('config')
        if judged_config != protocol_digest(settled):
            raise SourceError(
                f'{judgement.folder} was judged with another config, or it has changed since: give the same --config '
                f'and --cfg-options, or evaluate again.'
            )
    return settled
