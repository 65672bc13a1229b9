import numpy as np
import pytest
from check_data import ALTERATIONS, crop, texture

from uscl.checks import likely_copies as module
from uscl.checks.duplicates import COARSE_THRESHOLD, coarse_similarities
from uscl.checks.likely_copies import likely_copies
from uscl.data.fingerprints import thumbnail
from uscl.data.signatures import read_signature, sign_clip


def thumbnails(frames):
    return np.stack([thumbnail(frame) for frame in frames])


@pytest.mark.parametrize('signatures_at_once', [4096, 3])
def test_all_pairs_that_reach_the_threshold_and_few_others(signatures_at_once, monkeypatch):
    """Against the similarities of all pairs; signatures of 0 to 4 frames, clips of 1 to 9, copies in all disguises."""
    monkeypatch.setattr(module, '_SIGNATURES', signatures_at_once)
    monkeypatch.setattr(module, '_CLIPS', 2)
    alterations = [
        *ALTERATIONS.values(),
        lambda frame: frame[:, ::-1],
        crop(0.04, 0.04, 0.04, 0.04),
        lambda frame: frame,
    ]
    clips = [thumbnails(texture(k, count)) for k, count in ((0, 9), (1, 1), (2, 5), (3, 2), (50, 4))]
    signatures = ['']
    for number, alter in enumerate(alterations):
        for k, count in ((0, 4), (1, 1), (2, 3), (3, 2), (60, 4)):
            signatures.append(sign_clip(thumbnails([alter(frame) for frame in texture(k, count)])))
        if number % 3 == 0:
            signatures.append('')
    plain, mirrored = coarse_similarities(clips, [read_signature(each) for each in signatures if each])
    whole = [k for k, each in enumerate(signatures) if each]
    rows, columns = np.nonzero(np.maximum(plain, mirrored) >= COARSE_THRESHOLD)
    expected = {(row, whole[column]) for row, column in zip(rows.tolist(), columns.tolist(), strict=True)}
    found = [(number, other) for number, others in likely_copies(clips, signatures) for other in others]
    assert expected <= set(found) and len(set(found)) == len(found)
    assert len(expected) > 20 and len(found) < 1.2 * len(expected) < 0.5 * len(clips) * len(whole)


def test_nothing_to_compare():
    clips = [thumbnails(texture(0, 2))]
    assert list(likely_copies(clips, [])) == list(likely_copies(clips, [''])) == list(likely_copies([], ['', ''])) == []


def test_a_damaged_signature_is_refused():
    with pytest.raises(ValueError, match='AAAA'):
        list(likely_copies([thumbnails(texture(0, 2))], ['AAAA']))
