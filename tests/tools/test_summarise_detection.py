import json

import pytest
from PIL import Image
from tool_module import load_tool

tool = load_tool('tools/analysis/summarise_detection.py')


@pytest.fixture
def runs(tmp_path):
    """Three work dirs of two methods, and one without an evaluation."""
    for name, values in {'uscl_0': [0.2, 0.4], 'uscl_1': [0.3, 0.6], 'scratch_0': [0.1, 0.2], 'young': []}.items():
        folder = tmp_path / name / '20260101_000000' / 'vis_data'
        folder.mkdir(parents=True)
        lines = [dict(loss=3.0, epoch=1, iter=1, step=1)]
        lines += [{'coco/bbox_mAP_50': value, 'step': epoch} for epoch, value in enumerate(values, start=1)]
        (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    return tmp_path


def test_table_numbers_and_curves(runs, capsys):
    names = ('uscl_0', 'uscl_1', 'scratch_0')
    given = [f'{name.split("_")[0]}={runs / name}' for name in names]
    assert tool.main([*given, '--out', str(runs / 'out')]) == 0
    table = (runs / 'out' / 'table.md').read_text()
    assert '| uscl | 2 | 2 | 50.0 (40.0 to 60.0), SD 14.1 |' in table and table in capsys.readouterr().out
    summary = json.loads((runs / 'out' / 'summary.json').read_text())
    assert summary['uscl']['runs'] == [str(runs / name) for name in names[:2]]
    assert summary['scratch']['last']['box AP50']['values'] == [0.2]
    assert Image.open(runs / 'out' / 'curves.png').width > 800
    assert sorted(path.name for path in (runs / 'out').iterdir()) == ['curves.png', 'summary.json', 'table.md']


def test_the_config_in_a_run_is_not_executed(runs):
    trace = runs / 'trace'
    planted = runs / 'uscl_0' / '20260101_000000' / 'vis_data' / 'config.py'
    planted.write_text(
        f"open({str(trace)!r}, 'w')\nval_dataloader = dict(dataset=dict(ann_file=open({str(trace)!r}, 'w')))"
    )
    assert tool.main([f'a={runs / "uscl_0"}', '--out', str(runs / 'out')]) == 0
    assert not trace.exists()


@pytest.mark.parametrize(
    'given, error',
    [
        (['a={}/uscl_0', 'b={}/young'], 'young has no evaluation'),
        (['a={}/none'], 'none has no evaluation'),
        (['a={}/uscl_0', 'b={}/./uscl_0'], 'uscl_0 is given twice'),
    ],
)
def test_one_line_for_what_cannot_be_compared(runs, capsys, given, error):
    assert tool.main([*(text.format(runs) for text in given), '--out', str(runs / 'out')]) == 1
    text = capsys.readouterr().err
    assert text.startswith('error: ') and text.count('\n') == 1 and error in text
    assert not (runs / 'out').exists()


@pytest.mark.parametrize('text', ['folder', '=folder', 'name='])
def test_wrong_requests(capsys, text):
    with pytest.raises(SystemExit, match=r'2'):
        tool.main([text, '--out', 'x'])
    assert f'{text} should be NAME=WORK_DIR' in capsys.readouterr().err
