"""Finished folds of an evaluation on disk, so that none is run twice."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from uscl.core.atomic_files import write_text
from uscl.core.digest import digest, file_digest
from uscl.stats.predictions import Predictions

from .finetuning import MODEL

_FACTS = 'cell.json'


def folder_of(method: str) -> str:
    """Folder name for a method, safe on every file system.

    >>> folder_of('runs/epoch 9'), folder_of('..')
    ('runs__epoch_9', '_..')
    """
    name = re.sub(r'[^A-Za-z0-9_+.-]', '_', method.replace('/', '__'))
    return name if name.strip('.') else f'_{name}'


@dataclass(frozen=True)
class Cell:
    """One fold of one method with one seed, in its own folder.

    Attributes:
        folder: Folder of its files: a predictions file per selection, ``cell.json``, and possibly ``model.pth``.
    """

    folder: Path

    @classmethod
    def at(cls, out: Path, method: str, seed: int, fold: int) -> 'Cell':
        """The cell's location in an output folder."""
        return cls(out / 'cells' / folder_of(method) / f'seed{seed}' / f'fold{fold}')

    @property
    def model(self) -> Path:
        """The checkpoint of the trained classifier, if it was kept."""
        return self.folder / MODEL

    def save(self, predictions: Mapping[str, Predictions], facts: Mapping[str, Any]) -> dict:
        """Write the predictions, and ``cell.json`` last: a cell without it is unfinished.

        ``cell.json`` has the SHA-256 of every file, and its own, which find accidents and are no signature.

        Returns:
            The contents of ``cell.json`` without them.
        """
        for selection, found in predictions.items():
            found.save(self.folder / f'{selection}.npz')
        content = {'selections': list(predictions), **facts}
        files = [self.folder / f'{selection}.npz' for selection in predictions] + [self.model]
        sealed = content | {'files': {path.name: file_digest(path) for path in files if path.is_file()}}
        sealed['sha256'] = digest(json.dumps(sealed))
        write_text(self.folder / _FACTS, json.dumps(sealed, indent=1) + '\n')
        return content

    def load(self, fingerprint: Mapping[str, Any]) -> tuple[dict, dict[str, Predictions]] | None:
        """Load a finished cell: what was saved, and its predictions by selection.

        Args:
            fingerprint: What the results depend on.

        Returns:
            None if the cell is unfinished, or some of its files are missing or truncated.

        Raises:
            ValueError: The cell was finished with another fingerprint, or a file was changed since; a model may have
                been deleted.
        """
        try:
            facts = json.loads((self.folder / _FACTS).read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return None
        found = facts.get('fingerprint') if isinstance(facts, dict) else None
        if found is None:
            return None
        if facts.pop('sha256', None) != digest(json.dumps(facts)):
            raise self._changed(self.folder / _FACTS)
        if found != json.loads(json.dumps(fingerprint)):
            other = sorted(key for key in {*fingerprint, *found} if found.get(key) != fingerprint.get(key))
            raise ValueError(
                f'{self.folder} contains results for different {", ".join(other)}: choose another --out or NAME=PATH, '
                f'or delete that folder.'
            )
        try:
            predictions = {name: Predictions.load(self.folder / f'{name}.npz') for name in facts['selections']}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
        for name, expected in facts.pop('files').items():
            path = self.folder / name
            if path.is_file() and file_digest(path) != expected:
                raise self._changed(path)
        return facts, predictions

    def _changed(self, path: Path) -> ValueError:
        return ValueError(f'{path} has changed since its fold was finished: delete {self.folder} to run it again.')
