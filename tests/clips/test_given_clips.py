import numpy as np
import pytest
from media_clips import write_clip
from PIL import Image

from uscl.clips.given_clips import find_given, use_given
from uscl.clips.readers import open_clip
from uscl.core.errors import SourceError


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / 'clips'
    for name in ('a/one/0.png', 'a/one/1.png', 'b/x.png', 'b/y.png'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 30), 99, np.uint8)).save(root / name)
    write_clip(root / 'a' / 'two.avi', 5, 5)
    (root / 'a' / 'notes.docx').write_bytes(b'x')
    return root


def ids(*args, **kwargs):
    return [source.video_id for source in find_given(*args, **kwargs).sources]


def test_files_and_folders_in_the_order_given(folder):
    assert ids([folder / 'b', folder / 'a' / 'two.avi', folder]) == ['b', 'two.avi', 'a/one', 'a/two.avi', 'b']
    assert ids([folder], stills=True) == ['a/one/0.png', 'a/one/1.png', 'a/two.avi', 'b/x.png', 'b/y.png']
    assert ids([folder / 'none.mp4', folder / 'none.mp4']) == ['none.mp4'] * 2
    for source in find_given([folder / 'b', folder]).sources:
        assert len(list(open_clip(source.path))) == {'b': 2, 'a/one': 2, 'a/two.avi': 5}[source.video_id]


def test_an_index_says_which_clips_of_its_folder(folder):
    (folder / 'index.csv').write_text('path,label,patient_id\nb/y.png,x,\na/two.avi,,\n')
    assert ids([folder]) == ['a/two.avi', 'b/y.png']
    assert {file.kind for file in find_given([folder]).ignored} >= {
        '.docx',
        'folder of images that index.csv does not list',
    }
    (folder / 'index.csv').write_text('label\nx\n')
    with pytest.raises(SourceError, match=r'index\.csv'):
        find_given([folder])


def test_what_cannot_be_used_is_named_and_the_rest_goes_on(folder):
    (folder / 'a' / 'bad.mp4').write_bytes(b'none')
    (folder / 'empty').mkdir()
    said = []

    def count(source):
        return source.video_id, len(list(open_clip(source.path)))

    given = [folder / 'a', folder / 'empty', folder / 'none\x1b.gif', folder / 'b']
    assert list(use_given(given, count, said.append)) == [('one', 2), ('two.avi', 5), ('b', 2)]
    assert len(said) == 4
    assert said[0].endswith(f'.docx: {folder / "a" / "notes.docx"}')
    for text, name in zip(said[1:], ('a/bad.mp4', 'empty', 'none\\x1b.gif'), strict=True):
        assert text.startswith(f'skipped: {folder / name}:')
