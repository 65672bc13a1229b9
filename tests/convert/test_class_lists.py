import pytest

from uscl.convert.lesions.class_lists import name_key, read_class_lists
from uscl.core.errors import SourceError

WANTED = {'1': 'benign', '2': 'malignant', '10': 'malignant'}


@pytest.mark.parametrize(
    'files',
    [
        {'Benign.txt': '000001.png\n', 'Malignant.txt': '000002.png\n000010.png\n'},
        {'benign_list.csv': '1\n', 'MALIGNANT.CSV': '2\n10'},
        {'DatasetB.csv': 'Image,Type,Diagnosis\n1,Benign,CYST\n2,Malignant,IDC\n10,malignant ,\n11,,\n'},
        {'labels.csv': '\ufefffilename;label\r\noriginal/000001.png;b\r\n2;M\r\n10.0;m\r\n'},
        {'Benign.txt': '1\n\n', 'all.csv': 'class\tname\nMalignant\t000002\nMalignant\t000010.png\n', 'x.csv': 'a,b\n'},
    ],
)
def test_forms_of_lists(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding='utf-8')
    assert read_class_lists(tmp_path) == WANTED


def test_header_of_a_list_is_harmless(tmp_path):
    (tmp_path / 'Benign.txt').write_text('Image\n7\n')
    assert read_class_lists(tmp_path)['7'] == 'benign'


def test_image_in_both_lists(tmp_path):
    (tmp_path / 'Benign.txt').write_text('1\n2\n')
    (tmp_path / 'Malignant.txt').write_text('000002.png\n')
    with pytest.raises(SourceError, match=r'image 2 is listed as benign and malignant'):
        read_class_lists(tmp_path)


@pytest.mark.parametrize(
    ('name', 'key'), [('0.png', '0'), ('case01.png', 'case01'), ('a.b.png', 'a.b'), ('x\\007.bmp', '7')]
)
def test_keys(name, key):
    assert name_key(name) == key
