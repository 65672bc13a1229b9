"""Results that are kept, and the tables made of them."""

import json

import numpy as np
import pytest
from tool_module import load_tool

from instruments.results_page import RESAMPLES, render_page
from instruments.stored_results import StoredResults, start_results
from uscl.data.annotations import write_annotations
from uscl.stats.classification import classification_metrics
from uscl.stats.predictions import Predictions


def predictions(seed, skill=1.0, videos=30):
    """Three frames of each of 30 videos of 15 patients, in another order for every seed."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(videos) % 3, 3)
    scores = rng.random((3 * videos, 3)) + skill * np.eye(3)[labels]
    names = np.repeat([f'v{k}.mp4' for k in range(videos)], 3)
    groups = np.repeat([f'p{k // 2}' for k in range(videos)], 3)
    order = rng.permutation(3 * videos)
    paths = np.array([f'{k}.png' for k in range(3 * videos)])
    table = Predictions(scores / scores.sum(1, keepdims=True), labels, names, groups, paths)
    return Predictions(**{name: value[order] for name, value in vars(table).items()})


@pytest.fixture
def results():
    made = start_results('Task', 'linear', ['a', 'b', 'c'], True, predictions(0))
    for seed in range(3):
        made.add('good', seed, predictions(seed), {'steps': 960, 'views': 61440})
        made.add('poor', seed, predictions(seed + 7, 0.2))
    return made


def test_kept_results_are_those_of_the_predictions(results, tmp_path):
    results.save(tmp_path / 'data' / 'task.json')
    again = StoredResults.load(tmp_path / 'data' / 'task.json')
    assert again == results
    for seed in range(3):
        mine, theirs = again.predictions()['good']['fixed'][seed], predictions(seed).by_video()
        found, expected = (classification_metrics(table, 3) for table in (mine, theirs))
        assert found['confusion'] == expected['confusion']
        assert found['macro_auroc'] == pytest.approx(expected['macro_auroc'], abs=2e-3)  # four digits can tie


def test_other_videos_or_labels_are_refused(results):
    with pytest.raises(ValueError, match='other videos'):
        results.add('good', 3, predictions(0, videos=27))
    wrong = predictions(0)
    with pytest.raises(ValueError, match='other labels'):
        results.add('good', 3, Predictions(**vars(wrong) | {'labels': (wrong.labels + 1) % 3}))


def write_cells(folder, **by_selection):
    for fold in (0, 1):
        cell = folder / f'fold{fold}'
        cell.mkdir(parents=True)
        (cell / 'cell.json').write_text(json.dumps({'selections': list(by_selection)}))
        for name, table in by_selection.items():
            half = np.isin(table.videos, [f'v{k}.mp4' for k in range(30) if k % 2 == fold])
            Predictions(**{key: value[half] for key, value in vars(table).items()}).save(cell / f'{name}.npz')
    return [folder / 'fold0', folder / 'fold1']


def test_the_wanted_selection_is_kept(tmp_path):
    tool, tables = load_tool('tools/benchmarks/keep_results.py'), {'fixed': predictions(1), 'inner-val': predictions(2)}
    cells = write_cells(tmp_path, **tables)
    for wanted, selection in ((None, 'inner-val'), ('fixed', 'fixed')):
        named, found = tool.read_cells(cells, wanted)
        assert named == selection
        of_paths = dict(zip(found.paths.tolist(), found.probabilities.tolist(), strict=True))
        table = tables[selection]
        assert of_paths == dict(zip(table.paths.tolist(), table.probabilities.tolist(), strict=True))
    with pytest.raises(ValueError, match='fold0 has no predictions last: pass --selection with one of fixed'):
        tool.read_cells(cells, 'last')


def test_an_evaluation_is_kept_with_its_selection_and_without_development_patients(tmp_path):
    tool, out = load_tool('tools/benchmarks/keep_results.py'), tmp_path / 'out'
    cells = write_cells(out / 'cells' / 'good' / 'seed0', **{'fixed': predictions(1), 'inner-val': predictions(2)})
    for cell in cells:
        content = json.loads((cell / 'cell.json').read_text())
        (cell / 'cell.json').write_text(json.dumps(content | {'fingerprint': {'protocol': 'linear'}}))
    (out / 'folds').mkdir()
    (out / 'folds' / 'seed0.json').write_text(json.dumps({'folds': [{}, {}]}))
    (out / 'metrics.json').write_text(json.dumps({'classes': ['a', 'b', 'c']}))
    entries = [
        dict(video_id=f'v{k}.mp4', patient_id=f'p{k // 2}', label='abc'[k % 3], split='val' if k < 4 else 'train',
             fps=3.0, num_frames=1)
        for k in range(30)
    ]  # fmt: skip
    (tmp_path / 'data').mkdir()
    write_annotations(tmp_path / 'data' / 'annotations.json', entries, ['a', 'b', 'c'])
    command = [str(out), '--into', str(tmp_path / 'kept.json'), '--title', 'Task', '--selection', 'fixed']
    assert tool.main([*command, '--held-out-of', str(tmp_path / 'data')]) == 0
    kept = StoredResults.load(tmp_path / 'kept.json')
    assert (kept.protocol, kept.facts['good']['selection']) == ('linear, fixed', 'fixed')
    assert sorted(kept.videos) == sorted(f'v{k}.mp4' for k in range(4, 30))
    place = kept.videos.index('v7.mp4')
    wanted = predictions(1).by_video()
    assert kept.runs['good']['0'][place] == wanted.probabilities[wanted.videos == 'v7.mp4'][0].round(4).tolist()


def test_videos_of_development_patients_can_be_left_out(tmp_path):
    tool = load_tool('tools/benchmarks/keep_results.py')
    entries = [{'video_id': f'v{k}.mp4', 'split': 'val' if k < 4 else 'train'} for k in range(30)]
    left_out = {entry['video_id'] for entry in entries if entry['split'] == 'val'}
    found = tool.without_videos(predictions(3), left_out)
    assert set(found.videos) == {f'v{k}.mp4' for k in range(4, 30)} and len(found) == 3 * 26


PAGE = """# Page

<!-- results: task.json -->
old
<!-- end results -->
between
<!-- results: task.json minus poor -->
<!-- end results -->
after
"""


def test_pages_show_what_the_file_says(results, tmp_path):
    results.save(tmp_path / 'task.json')
    page = render_page(PAGE, tmp_path)
    assert 'old' not in page and 'between' in page and page.endswith('after\n')
    assert render_page(page, tmp_path) == page
    accuracy = np.mean([classification_metrics(predictions(seed).by_video(), 3)['accuracy'] for seed in range(3)])
    row = next(line for line in page.splitlines() if line.startswith('| good | 3 |'))
    assert f'| {100 * accuracy:.1f} % (' in row and '| 960 | 61,440 |' in row and f'{RESAMPLES:,}' in page
    other = np.mean([classification_metrics(predictions(seed + 7, 0.2).by_video(), 3)['accuracy'] for seed in range(3)])
    difference = [line for line in page.splitlines() if line.startswith('| good | +')]
    assert len(difference) == 1 and f'| +{100 * (accuracy - other):.1f} (' in difference[0]


def test_kappa_of_ordered_classes_alone(results, tmp_path):
    results.save(tmp_path / 'task.json')
    assert 'Kappa' in render_page(PAGE, tmp_path)
    results.is_ordered = False
    results.save(tmp_path / 'task.json')
    assert 'Kappa' not in render_page(PAGE, tmp_path)


def test_marks_that_name_nothing_are_refused(results, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'task\.json'):
        render_page(PAGE, tmp_path)
    del results.runs['poor']
    results.save(tmp_path / 'task.json')
    with pytest.raises(ValueError, match='poor'):
        render_page(PAGE, tmp_path)


def test_the_pages_of_this_repository_are_up_to_date(root):
    """Every table can be made again from the predictions beside it."""
    for path in (root / 'docs' / 'results').glob('*.md'):
        page = path.read_text(encoding='utf-8')
        assert render_page(page, path.parent / 'data') == page, f'run make results: {path.name}'
    for path in (root / 'docs' / 'results' / 'data').glob('*.json'):
        content = json.loads(path.read_text(encoding='utf-8'))
        assert all(len(rows) == len(content['videos']) for runs in content['runs'].values() for rows in runs.values())
