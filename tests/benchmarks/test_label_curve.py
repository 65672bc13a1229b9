"""Accuracy against labelled patients."""

import numpy as np
import pytest
from tool_module import load_tool

from instruments.stored_results import StoredResults


@pytest.mark.usefixtures('undrawn')
def test_a_file_for_every_number_of_patients_on_the_same_videos(root, patients, tmp_path):
    tool = load_tool('tools/benchmarks/label_curve.py')
    command = ['random', '--data', str(patients), '--patients', '1', '--seeds', '2', '--folds', '3', '--size', '32']
    assert tool.main([*command, '--title', 'Task', '--out', str(tmp_path)]) == 0
    few, whole = (StoredResults.load(tmp_path / f'labels_{name}.json') for name in ('1', 'all'))
    assert few.videos == whole.videos and few.labels == whole.labels and len(few.videos) == 18
    assert list(few.runs) == ['random'] and list(few.runs['random']) == ['0', '1']
    assert not np.array_equal(few.runs['random']['0'], whole.runs['random']['0'])
    assert 'trained on 1 patients of each class' in few.title
