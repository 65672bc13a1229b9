import pytest
import torch

from uscl.data.annotations import read_annotations, write_annotations
from uscl_plugin.evaluation.leaks import pretraining_leak
from uscl_plugin.weights.checkpoint_files import write_checkpoint

PATIENTS = ('p0', 'p0', 'p1', 'p2', None, None)


@pytest.fixture
def data(make_clusters, tmp_path):
    """Six clips with known source files: v0 to v2 in train, v3 in val, v4 and v5 in test, of unknown patients."""
    folder = make_clusters(tmp_path / 'data', {f'v{k}': (2, 'ab'[k % 2], PATIENTS[k]) for k in range(6)})
    annotations = read_annotations(folder / 'annotations.json')
    sides = ('train', 'train', 'train', 'val', 'test', 'test')
    entries = [entry | {'sha256': f'{k:064x}', 'split': sides[k]} for k, entry in enumerate(annotations['data_list'])]
    write_annotations(folder / 'annotations.json', entries, annotations['metainfo']['classes'])
    return folder


@pytest.mark.parametrize('flat', [True, False])
@pytest.mark.parametrize(
    ('seen', 'folds', 'patients'),
    [
        ([0], '5', 1),
        ([1, 2, 4], '5', 3),  # an unknown patient is the clip's own
        ([0, 1, 2], 'split', 0),
        ([3], 'split', 0),  # val is not tested, since there is test
        ([2, 4, 5], 'split', 2),
        ([99], '5', 0),
        ([], '5', 0),
        (None, '5', 0),
    ],
)
def test_an_export_has_seen_the_patients_of_its_training_clips(data, tmp_path, seen, folds, patients, flat):
    digests = None if seen is None else [f'{k:064x}' for k in seen]
    meta = {'uscl': {'seen': {'sha256s': digests}}}
    write_checkpoint(tmp_path / 'a.pth', {'conv1.weight': torch.zeros(1)}, meta, flat=flat)
    leak = pretraining_leak(str(tmp_path / 'a.pth'), data, folds)
    assert (f'a.pth was trained on clips of {patients} patient' in leak) if patients else leak == ''


@pytest.mark.parametrize('uscl', [{}, {'seen': None}, {'seen': {}}])
def test_provenance_without_clips_says_nothing(data, tmp_path, uscl):
    write_checkpoint(tmp_path / 'a.pth', {'conv1.weight': torch.zeros(1)}, {'uscl': uscl}, flat=True)
    assert pretraining_leak(str(tmp_path / 'a.pth'), data, '5') == ''
