"""The notebook runs from end to end, and is kept without outputs."""

import json
import runpy
import sys
import time

import matplotlib.pyplot as plt
import pytest
from docs_pages import DOCS, ROOT

NOTEBOOK = DOCS / 'notebooks' / 'pretrain_and_probe.ipynb'


def test_it_is_kept_without_outputs():
    nbformat = pytest.importorskip('nbformat')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get('outputs') and not cell.get('execution_count'), cell.source[:60]


@pytest.fixture
def run(monkeypatch, capsys):
    """A function that runs a tool as a script, but in this process, which has imported the hosts."""
    monkeypatch.chdir(ROOT)

    def run(path, *arguments):
        monkeypatch.setattr(sys, 'argv', [f'tools/{path}', *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(sys.argv[0], run_name='__main__')
        assert not ended.value.code
        return capsys.readouterr().out

    return run


def test_cells_run_one_after_the_other(tmp_path, monkeypatch, run):
    """The clips are converted, trained on for an epoch, and exported, as by `make demo`."""
    monkeypatch.setenv('USCL_NOTEBOOK_DIR', str(tmp_path))
    monkeypatch.setenv('USCL_NOTEBOOK_EPOCHS', '1')
    names, said = {}, []
    for cell in json.loads(NOTEBOOK.read_text(encoding='utf-8'))['cells']:
        if cell['cell_type'] == 'code':
            exec(compile(''.join(cell['source']), NOTEBOOK.name, 'exec'), names)
            names['tool'] = lambda *arguments: said.append(run(*arguments))
    assert len(plt.get_fignums()) == 3  # pairs, curves, maps
    plt.close('all')
    assert len(said) == 3 and '15 converted now' in said[0] and '120 backbone tensors' in said[2]
    assert set(names['gaps']) == {'untrained', 'USCL'}


@pytest.mark.slow  # two processes of its tools, and one of its own
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
