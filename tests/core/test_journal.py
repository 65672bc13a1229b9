import pytest

from uscl.core.journal import Journal


def test_records_come_back_and_a_torn_line_does_not(tmp_path):
    path = tmp_path / 'journal.jsonl'
    journal = Journal(path)
    assert journal.records == [] and not path.exists()
    records = [{'file': 'a\nb\udcff', 'bytes': 3}, {'file': 'ü'}, {}]
    for record in records:
        journal.add(record)
    assert Journal(path).records == records
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        kept = Journal(path)
        assert kept.records == records[: whole[:cut].count(b'\n')]
        kept.add({'next': 1})
        assert Journal(path).records == [*kept.records, {'next': 1}]


@pytest.mark.parametrize('line', [b'[1]\n', b'{"a": \n', b'\xff\n', b'\n'])
def test_what_others_wrote_is_refused(tmp_path, line):
    path = tmp_path / 'journal.jsonl'
    path.write_bytes(b'{}\n' + line)
    with pytest.raises(ValueError, match=r'journal.jsonl, line 2'):
        Journal(path)
