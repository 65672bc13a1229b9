import json

import pytest
from tool_module import load_tool


@pytest.fixture(scope='module')
def tool():
    return load_tool('tools/benchmarks/start_times.py')


def test_processor_and_clock_are_told_apart(tool, tmp_path):
    busy, _ = tool.measure(['-c', 'import time\nwhile time.process_time() < 0.35: pass'], tmp_path)
    idle, wall = tool.measure(['-c', 'import time; time.sleep(0.3)'], tmp_path)
    assert busy >= 0.3 and idle < 0.3 <= wall
    with pytest.raises(ValueError, match='no_such_module'):
        tool.measure(['-c', 'import no_such_module'], tmp_path)


def test_every_round_has_its_own_folder_and_cache(tool, tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(tool, 'measure', lambda command, cache: (seen.append((command, cache)), (len(seen), 0.5))[1])
    out = tmp_path / 'out'
    assert tool.main(['DATA', '--out', str(out), '--rounds', '2', '--backbone', 'b.pth']) == 0
    half = len(seen) // 2
    for (first, cache), (second, other) in zip(seen[:half], seen[half:], strict=True):
        assert second == [word.replace('round0', 'round1') for word in first] and cache != other
    assert sum('net=b.pth' in command for command, _ in seen) == 8
    times = json.loads((out / 'start.json').read_text())
    assert times['uscl --help'] == [[1, 0.5], [1 + half, 0.5]]
    assert f'| {(2 + half) / 2:.2f} (1.00 to {1 + half:.2f}) | 0.50' in capsys.readouterr().out
    assert tool.main(['DATA', '--out', str(out)]) == 1  # which is there
    assert tool.main(['DATA', '--out', str(tmp_path / 'few'), '--rounds', '1', '--no-evaluations']) == 0
    assert len(json.loads((tmp_path / 'few' / 'start.json').read_text())) == half - 4
