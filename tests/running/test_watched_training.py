"""Where the logs of a run that is watched end up."""

from types import SimpleNamespace

from uscl_plugin.running import watched_training


def test_runs_that_start_in_the_same_second_keep_their_logs_apart(tmp_path):
    (tmp_path / 'log').mkdir()
    for number in range(3):
        (tmp_path / '20260101_000000').mkdir()
        (tmp_path / '20260101_000000' / 'a.log').write_text(str(number))
        runner = SimpleNamespace(
            visualizer=SimpleNamespace(close=lambda: None),
            logger=SimpleNamespace(handlers=[]),
            work_dir=str(tmp_path),
            timestamp='20260101_000000',
        )
        watched_training._put_logs_away(runner, tmp_path / 'log')
    found = {path.name: (path / 'a.log').read_text() for path in (tmp_path / 'log').iterdir()}
    assert found == {'20260101_000000': '0', '20260101_000000_2': '1', '20260101_000000_3': '2'}
