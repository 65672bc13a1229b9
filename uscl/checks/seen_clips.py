"""Find clips that a network was trained on, and copies of them, by what its checkpoint keeps of its training clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from uscl.data.signatures import read_signature
from uscl.data.video_folder import VideoFolder

from .clip_facts import read_thumbnails
from .duplicates import CERTAIN, COARSE_THRESHOLD, THRESHOLD, closest, coarse_similarities, cropped_fingerprints
from .seen_data import Seen

_NUM = 14  # frequencies compared along each axis: what a crop of the 16 of a signature still has
_CHUNK = 2048  # signatures compared at once; bounds memory
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
    for begin in range(0, len(signatures), _CHUNK):
        known = [each for each in map(read_signature, signatures[begin : begin + _CHUNK]) if len(each)]
        if not (known and clips):
            continue
        plain, mirrored = coarse_similarities(clips, known)
        theirs = lru_cache(_KEPT)(lambda number, known=known: cropped_fingerprints(known[number], _NUM))
        for number, row in enumerate(np.maximum(plain, mirrored)):
            for other in np.argsort(-row)[: np.count_nonzero(row >= COARSE_THRESHOLD)].tolist():
                best = found.get(number)
                if best is not None and best.is_certain:
                    break
                similarity, is_mirrored = closest(
                    ours(number), theirs(other), plain[number, other], mirrored[number, other]
                )
                if similarity >= max(THRESHOLD, best.similarity if best else 0.0):
                    found[number] = Sighting('a mirror image' if is_mirrored else 'the same pictures', similarity)
    return found
