"""Find clips that a network was trained on, and copies of them, by what its checkpoint keeps of its training clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from uscl.data.signatures import read_signature
from uscl.data.video_folder import VideoFolder

from .clip_facts import read_thumbnails
from .duplicates import CERTAIN, COARSE_THRESHOLD, THRESHOLD, closest, coarse_similarities, cropped_fingerprints
from .likely_copies import likely_copies
from .seen_data import Seen

_NUM = 14  # frequencies compared along each axis: what a crop of the 16 of a signature still has
_KEPT = 128  # of which cropped fingerprints are kept


@dataclass(frozen=True)
class Sighting:
    """How a clip is, or may be, a training clip.

    Attributes:
        kind: ``'the same file'``, ``'the same pictures'`` or ``'a mirror image'``.
        similarity: To the most similar training clip, or to the first that is certain.
    """

    kind: str
    similarity: float

    @property
    def is_certain(self) -> bool:
        """False if only people can tell a copy from another recording on the same scanner."""
        return self.similarity >= CERTAIN


def find_seen(folder: VideoFolder, numbers: Sequence[int], seen: Seen) -> dict[int, Sighting]:
    """Which clips are training clips or copies of them; see :mod:`.duplicates` for how clips are compared.

    Args:
        folder: A data folder.
        numbers: Its clips that are looked for.
        seen: The training data.

    Returns:
        Number of a clip → how it was seen, in the order of ``numbers``.

    Raises:
        ValueError: Stored frames or a signature are damaged.
    """
    found = {n: Sighting('the same file', 1.0) for n in numbers if folder.entries[n]['sha256'] in seen.sha256s}
    others = [number for number in numbers if number not in found] if seen.signatures else []
    clips = [read_thumbnails(folder, number) for number in others]
    found |= {others[k]: sighting for k, sighting in find_copies(clips, sorted(seen.signatures)).items()}
    return {number: found[number] for number in numbers if number in found}


def find_copies(clips: Sequence[np.ndarray], signatures: Sequence[str]) -> dict[int, Sighting]:
    """Which clips are copies of others, of which there are signatures.

    Args:
        clips: Thumbnails of each, (n, SIDE, SIDE) uint8.
        signatures: See :func:`~uscl.data.signatures.sign_clip`.

    Returns:
        Index of a clip → the sighting, if a similarity reaches the threshold of suspects.

    Raises:
        ValueError: A signature is damaged.
    """
    found: dict[int, Sighting] = {}
    ours = lru_cache(_KEPT)(lambda number: cropped_fingerprints(clips[number], _NUM))
    theirs = lru_cache(_KEPT)(lambda other: cropped_fingerprints(read_signature(signatures[other]), _NUM))
    for number, others in likely_copies(clips, signatures):
        (plain,), (mirrored,) = coarse_similarities([clips[number]], [read_signature(signatures[k]) for k in others])
        coarse = np.maximum(plain, mirrored)
        for k in np.argsort(-coarse)[: np.count_nonzero(coarse >= COARSE_THRESHOLD)].tolist():
            best = found.get(number)
            if best is not None and best.is_certain:
                break
            similarity, is_mirrored = closest(ours(number), theirs(others[k]), plain[k], mirrored[k])
            if similarity >= max(THRESHOLD, best.similarity if best else 0.0):
                found[number] = Sighting('a mirror image' if is_mirrored else 'the same pictures', similarity)
    return found
