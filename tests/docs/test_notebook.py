"""The notebook runs from end to end, and is kept without outputs."""

import time

import pytest
from docs_pages import DOCS

NOTEBOOK = DOCS / 'notebooks' / 'pretrain_and_probe.ipynb'


def test_it_is_kept_without_outputs():
    nbformat = pytest.importorskip('nbformat')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get('outputs') and not cell.get('execution_count'), cell.source[:60]


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip('nbclient'), pytest.importorskip('nbformat')
    pytest.importorskip('ipykernel')
    monkeypatch.setenv('USCL_NOTEBOOK_DIR', str(tmp_path))
    monkeypatch.setenv('USCL_NOTEBOOK_EPOCHS', '3')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    began = time.perf_counter()
    nbclient.NotebookClient(notebook, timeout=300, resources={'metadata': {'path': str(NOTEBOOK.parent)}}).execute()
    print(f'{time.perf_counter() - began:.0f} s')
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    assert sum('image/png' in output.get('data', {}) for output in outputs) == 3  # pairs, curves, maps
    said = ''.join(output.get('text', '') for output in outputs)
    assert '15 converted now' in said or 'Frame store of 15 clips' in said
    assert '120 backbone tensors' in said
    (gaps,) = [output['data']['text/plain'] for output in outputs if output.output_type == 'execute_result']
    assert 'untrained' in gaps and 'USCL' in gaps
