import pytest

from uscl.clips.source_index import read_index
from uscl.core.errors import SourceError

HEAD = 'path,label,patient_id,split\n'


def read(tmp_path, text, classes=None, encoding='utf-8'):
    (tmp_path / 'index.csv').write_bytes(text.encode(encoding))
    return read_index(tmp_path / 'index.csv', classes)


def message(tmp_path, text, **kwargs):
    with pytest.raises(SourceError) as caught:
        read(tmp_path, text, **kwargs)
    assert caught.value.exit_code == 2
    assert str(tmp_path / 'index.csv') in str(caught.value)
    return str(caught.value)


def test_rows_in_order_with_empty_cells_as_none(tmp_path):
    rows = read(tmp_path, HEAD + 'b/x.mp4, cov ,p1,train\n./a//y z.mp4,,,\n"c,1.mp4",reg\n')
    assert rows == [
        {'path': 'b/x.mp4', 'label': 'cov', 'patient_id': 'p1', 'split': 'train'},
        {'path': 'a/y z.mp4', 'label': None, 'patient_id': None, 'split': None},
        {'path': 'c,1.mp4', 'label': 'reg', 'patient_id': None, 'split': None},
    ]


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
def test_spreadsheets_byte_order_mark_and_backslashes(tmp_path, encoding):
    assert read(tmp_path, 'path,label,patient_id\r\na\\ü.mp4,x,\r\n', encoding=encoding)[0]['path'] == 'a/ü.mp4'


def test_absent_index(tmp_path):
    with pytest.raises(SourceError, match=r'index\.csv does not exist: give a CSV file'):
        read_index(tmp_path / 'index.csv')


def test_missing_column(tmp_path):
    text = message(tmp_path, 'path;label;patient_id\nx;y;z\n')
    assert 'lacks the column path, label, patient_id; it has path;label;patient_id' in text
    assert 'lacks the column patient_id; it has label, path:' in message(tmp_path, 'label,path\nx,y\n')
    assert 'it has none' in message(tmp_path, '')


@pytest.mark.parametrize('path', ['../x.mp4', '/x.mp4', 'a/../../x.mp4', 'C:\\x.mp4', '..\\x.mp4', '', '.'])
def test_path_outside_the_source(tmp_path, path):
    assert 'row 3: path' in message(tmp_path, HEAD + f'ok.mp4,,,\n{path},a,,\n')


def test_duplicate_path(tmp_path):
    assert "row 4: 'a/x.mp4' is listed in row 2" in message(tmp_path, HEAD + 'a/x.mp4,,,\nb,,,\na/./x.mp4,,,\n')


def test_label_outside_classes(tmp_path):
    text = message(tmp_path, HEAD + 'x.mp4,,,\ny.mp4,Cov,,\n', classes=['cov', 'reg'])
    assert "row 3: label 'Cov' of y.mp4 is not one of --classes cov reg" in text


def test_not_utf8(tmp_path):
    assert 'UTF-8' in message(tmp_path, HEAD + 'ü.mp4,,,\n', encoding='latin-1')
