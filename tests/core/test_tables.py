import csv

from uscl.core.tables import markdown, write_csv


def test_markdown_has_a_line_a_row_and_its_bars_are_no_columns():
    text = markdown(['a', 'b'], [['1', 'x|y'], ['', '2']])
    assert text.splitlines() == ['| a | b |', '| --- | --- |', '| 1 | x\\|y |', '|  | 2 |']


def test_csv_is_read_as_it_was_written(tmp_path):
    rows = [('ä, b', 'said "no"'), ('two\nlines', 3)]
    write_csv(tmp_path / 'new' / 'a.csv', ('path', 'reason'), rows)
    with (tmp_path / 'new' / 'a.csv').open(encoding='utf-8', newline='') as file:
        assert list(csv.reader(file)) == [['path', 'reason'], ['ä, b', 'said "no"'], ['two\nlines', '3']]


def test_an_empty_table_is_no_file(tmp_path):
    write_csv(tmp_path / 'a.csv', ('path',), [('x',)])
    write_csv(tmp_path / 'a.csv', ('path',), [])
    write_csv(tmp_path / 'never.csv', ('path',), [])
    assert not list(tmp_path.iterdir())
