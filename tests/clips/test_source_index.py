import unicodedata

import pytest

from uscl.clips.source_index import find_index, read_index
from uscl.core.errors import SourceError

HEAD = 'path,label,patient_id,split\n'


def read(tmp_path, text, classes=None, encoding='utf-8'):
    (tmp_path / 'index.csv').write_bytes(text.encode(encoding))
    return read_index(tmp_path / 'index.csv', tmp_path, classes)[0]


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


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
@pytest.mark.parametrize('separator', [',', ';', '\t'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'cp1252', 'latin-1'])
@pytest.mark.parametrize('head', ['path,label,patient_id', ' Path , LABEL,Patient ID', 'note,patient_id,label,path'])
def test_what_spreadsheets_write(tmp_path, head, encoding, separator, end):
    row = {'path': 'a\\Müller 1.mp4', 'label': 'gesund', 'patient_id': '7', 'note': 'x'}
    names = [name.strip().lower().replace(' ', '_') for name in head.split(',')]
    lines = ['', head, ','.join(row[name] for name in names), ',,', '']
    text = end.join(lines).replace(',', separator)
    assert read(tmp_path, text, encoding=encoding) == [
        {'path': 'a/Müller 1.mp4', 'label': 'gesund', 'patient_id': '7', 'split': None}
    ]


@pytest.mark.parametrize('separator', [',', ';', '\t', '|'])
def test_first_line_that_names_the_separator(tmp_path, separator):
    text = f'sep={separator}\r\n' + 'path,label,patient_id\r\na.mp4,x,\r\n'.replace(',', separator)
    assert [row['path'] for row in read(tmp_path, text)] == ['a.mp4']


def test_composed_and_decomposed_characters_are_the_same(tmp_path):
    name = unicodedata.normalize('NFD', 'ä.mp4')
    assert read(tmp_path, HEAD + f'{name},,,\n')[0]['path'] == unicodedata.normalize('NFC', name) != name


def test_absolute_paths_inside_the_source(tmp_path):
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'real')
    text = f'path,label,patient_id\n{tmp_path}/link/a.mp4,,\n{tmp_path}/real/b.mp4,,\n'
    (tmp_path / 'index.csv').write_text(text)
    rows, _ = read_index(tmp_path / 'index.csv', tmp_path / 'link')
    assert [row['path'] for row in rows] == ['a.mp4', 'b.mp4']
    (tmp_path / 'index.csv').write_text(f'path,label,patient_id\n{tmp_path}/linked/a.mp4,,\n')
    with pytest.raises(SourceError, match=r'index\.csv row 2'):
        read_index(tmp_path / 'index.csv', tmp_path / 'link')


def test_words_for_nothing_are_unknown_and_counted(tmp_path):
    index = tmp_path / 'index.csv'
    index.write_text(HEAD + 'a,nan,NaN,N/A\nb,None,p1,\nc,nancy,NA,train\n')
    rows, (warning,) = read_index(index, tmp_path)
    assert [(row['label'], row['patient_id'], row['split']) for row in rows] == [
        (None, None, None),
        (None, 'p1', None),
        ('nancy', None, 'train'),
    ]
    assert '5 cells, first in row 2' in warning and str(index) in warning
    rows, _ = read_index(index, tmp_path, ['None', 'nancy'])  # a class, if somebody says so
    assert [row['label'] for row in rows] == [None, 'None', 'nancy']
    index.write_text(HEAD + 'a,x,p1,\n')
    assert read_index(index, tmp_path)[1] == []


def test_absent_index(tmp_path):
    with pytest.raises(SourceError, match=r'index\.csv does not exist: give a CSV file'):
        read_index(tmp_path / 'index.csv', tmp_path)


@pytest.mark.parametrize('name', ['index.csv', 'Index.csv', 'INDEX.CSV'])
def test_index_in_any_case(tmp_path, name):
    assert find_index(tmp_path) is None
    (tmp_path / name).touch()
    (tmp_path / 'my_index.csv').touch()
    assert find_index(tmp_path) == tmp_path / name
    (tmp_path / 'iNDEX.csv').touch()
    if len(list(tmp_path.iterdir())) == 3:  # not on a disk that does not tell the cases
        with pytest.raises(SourceError, match=rf'{name}.*keep one'):
            find_index(tmp_path)


def test_missing_column(tmp_path):
    text = message(tmp_path, 'name;label;patient_id\nx;y;z\n')
    assert 'lacks path among its columns name, label, patient_id' in text
    assert 'lacks patient_id among its columns label, path:' in message(tmp_path, 'label,path\nx,y\n')
    assert '(none)' in message(tmp_path, '')


def test_column_that_is_there_twice(tmp_path):
    assert 'label' in message(tmp_path, 'path,label,patient_id,Label\nx,a,,b\n')
    assert read(tmp_path, 'path,label,patient_id,note,note\nx,a,,1,2\n')[0]['label'] == 'a'


def test_more_cells_than_columns(tmp_path):
    assert 'row 3 has 4 cells for 3 columns' in message(tmp_path, 'path,label,patient_id\nok.mp4,a,p\nDoe, J.mp4,a,p\n')
    assert read(tmp_path, 'path,label,patient_id\n"Doe, J.mp4",a,p,,\n')[0]['path'] == 'Doe, J.mp4'


def test_quotation_mark_that_is_not_closed(tmp_path):
    assert 'row 3' in message(tmp_path, HEAD + 'ok.mp4,,,\n"x.mp4,,,\ny.mp4,,,\n')


@pytest.mark.parametrize('path', ['../x.mp4', '/x.mp4', 'a/../../x.mp4', 'C:\\x.mp4', '..\\x.mp4', '', '.'])
def test_path_outside_the_source(tmp_path, path):
    assert 'row 3: path' in message(tmp_path, HEAD + f'ok.mp4,,,\n{path},a,,\n')


def test_duplicate_path(tmp_path):
    assert "row 4: 'a/x.mp4' is already in row 2" in message(tmp_path, HEAD + 'a/x.mp4,,,\nb,,,\na/./x.mp4,,,\n')


def test_label_outside_classes(tmp_path):
    text = message(tmp_path, HEAD + 'x.mp4,,,\ny.mp4,Cov,,\n', classes=['cov', 'reg'])
    assert "row 3: label 'Cov' is not one of --classes cov reg" in text


@pytest.mark.parametrize('content', [b'PK\x03\x04\0\0workbook', b'path,label,patient_id\n\x81.mp4,,\n'])
def test_no_text(tmp_path, content):
    (tmp_path / 'index.csv').write_bytes(content)
    with pytest.raises(SourceError, match=r'index\.csv is not a CSV file'):
        read_index(tmp_path / 'index.csv', tmp_path)
