import os
import pathlib
import unicodedata

import pytest
from PIL import Image

from uscl.clips.discovery import find_sources, walk_sources
from uscl.clips.folder_walk import LEAVES_SOURCE
from uscl.core.errors import SourceError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(*args, **kwargs):
    return [(source.video_id, source.label) for source in find_sources(*args, **kwargs).sources]


def message(exit_code, *args, **kwargs):
    with pytest.raises(SourceError) as caught:
        find_sources(*args, **kwargs)
    assert caught.value.exit_code == exit_code
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_labels_are_first_folders_in_natural_order(tmp_path):
    touch(tmp_path, 'b/clip10.mp4', 'b/clip2.AVI', 'a/deep/er/x.gif', 'top.webm', 'b/notes.txt', 'b/image_list.csv')
    assert found(tmp_path) == [
        ('a/deep/er/x.gif', 'a'),
        ('b/clip2.AVI', 'b'),
        ('b/clip10.mp4', 'b'),
        ('top.webm', None),
    ]


def test_folder_with_images_is_one_video(tmp_path):
    touch(tmp_path, 'a/v1/1.png', 'a/v1/2.JPG', 'a/v1/clip.mp4', 'a/deep/er/1.jpeg')
    assert found(tmp_path) == [('a/deep/er', 'a'), ('a/v1', 'a'), ('a/v1/clip.mp4', 'a')]
    assert find_sources(tmp_path).sources[1].path == tmp_path / 'a/v1'


@pytest.mark.parametrize('loose', ['benign/1.png', '1.png', 'benign/overview.tif'])
def test_images_that_may_be_frames_or_stills_are_refused(tmp_path, loose):
    touch(tmp_path, 'benign/clip1/0.png', 'malignant/x.mp4')
    assert len(found(tmp_path)) == 2
    touch(tmp_path, loose)
    assert '--stills' in (text := message(2, tmp_path)) and str((tmp_path / loose).parent) in text
    (tmp_path / 'index.csv').write_text(f'path,label,patient_id\n{loose.rpartition("/")[0] or loose},b,\n')
    assert len(found(tmp_path)) == 1  # an index tells


def test_stills(tmp_path):
    touch(tmp_path, 'benign/1.png', 'benign/2.jpg', 'malignant/p7/a.bmp', '3.png', 'benign/x.mp4')
    assert found(tmp_path, stills=True) == [
        ('3.png', None),
        ('benign/1.png', 'benign'),
        ('benign/2.jpg', 'benign'),
        ('benign/x.mp4', 'benign'),
        ('malignant/p7/a.bmp', 'malignant'),
    ]


@pytest.mark.parametrize('stills', [False, True])
def test_an_image_of_several_pages_is_a_clip_of_its_own(tmp_path, stills):
    touch(tmp_path, 'a/v/1.png')
    pages = [Image.new('L', (8, 8), 20 * k) for k in range(3)]
    for name in ('a/p1.tif', 'a/p2.TIFF', 'top.tif'):
        pages[0].save(tmp_path / name, 'TIFF', save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / 'a/v/2.tif')
    frames = [('a/v/1.png', 'a'), ('a/v/2.tif', 'a')] if stills else [('a/v', 'a')]
    assert found(tmp_path, stills=stills) == [('a/p1.tif', 'a'), ('a/p2.TIFF', 'a'), *frames, ('top.tif', None)]


def test_hidden_files_and_folders_are_ignored(tmp_path):
    touch(tmp_path, 'a/.hidden.mp4', '.cache/x.mp4', 'a/._1.png', 'a/x.mp4')
    assert found(tmp_path) == [('a/x.mp4', 'a')]


def test_out_is_not_a_source(tmp_path):
    touch(tmp_path, 'a/x.mp4', 'out/frames/a/000000.png', 'output/y.mp4')
    assert found(tmp_path, out=tmp_path / 'out') == [('a/x.mp4', 'a'), ('output/y.mp4', 'output')]
    assert '--out' in message(2, tmp_path, out=tmp_path / 'a' / '..')


@pytest.mark.parametrize('names', [['blues'], ['blues', 'pocus']])
def test_the_folder_above_an_index_is_refused(tmp_path, names):
    for name in names:
        touch(tmp_path, f'{name}/x.mp4')
        (tmp_path / name / 'Index.csv').write_text('path,label,patient_id\nx.mp4,a,\n')
    text = message(2, tmp_path)
    assert all(str(tmp_path / name) in text for name in names)
    assert len(found(tmp_path / 'blues')) == 1
    (tmp_path / 'INDEX.csv').write_text('path,label,patient_id\nblues/x.mp4,a,\n')
    assert found(tmp_path) == [('blues/x.mp4', 'a')]


def test_links_that_leave_the_source_are_refused(tmp_path):
    touch(tmp_path, 'src/a/x.mp4', 'else/y.mp4', 'else/folder/z.mp4')
    (tmp_path / 'src/a/in.mp4').symlink_to(tmp_path / 'src/a/x.mp4')
    (tmp_path / 'src/a/out.mp4').symlink_to(tmp_path / 'else/y.mp4')
    (tmp_path / 'src/a/folder').symlink_to(tmp_path / 'else/folder')
    (tmp_path / 'src/loop').symlink_to(tmp_path / 'src')
    problems = {source.video_id: source.problem for source in find_sources(tmp_path / 'src').sources}
    assert list(problems) == ['a/folder', 'a/in.mp4', 'a/out.mp4', 'a/x.mp4']
    assert problems['a/out.mp4'] == problems['a/folder'] == LEAVES_SOURCE
    assert problems['a/in.mp4'] is None and problems['a/x.mp4'] is None
    (tmp_path / 'link').symlink_to(tmp_path / 'src')
    assert len(find_sources(tmp_path / 'link').sources) == 4


def test_links_are_followed_when_asked_for(tmp_path):
    touch(tmp_path, 'src/a/x.mp4', 'else/y.mp4', 'else/folder/z.mp4', 'frames/1.png')
    (tmp_path / 'src/a/out.mp4').symlink_to(tmp_path / 'else/y.mp4')
    (tmp_path / 'src/b').symlink_to(tmp_path / 'else')
    (tmp_path / 'src/a/linked').mkdir()
    (tmp_path / 'src/a/linked/1.png').symlink_to(tmp_path / 'frames/1.png')
    problems = {source.video_id: source.problem for source in find_sources(tmp_path / 'src').sources}
    assert all('--follow-links' in problems.pop(name) for name in ('a/linked', 'a/out.mp4', 'b'))
    assert problems == {'a/x.mp4': None}
    sources = find_sources(tmp_path / 'src', follow_links=True).sources
    assert [(source.video_id, source.label, source.problem) for source in sources] == [
        ('a/linked', 'a', None),
        ('a/out.mp4', 'a', None),
        ('a/x.mp4', 'a', None),
        ('b/folder/z.mp4', 'b', None),
        ('b/y.mp4', 'b', None),
    ]


def test_loops_of_links_end(tmp_path):
    touch(tmp_path, 'src/a/x.mp4', 'else/y.mp4', 'else/deep/z.mp4')
    for link, target in {
        'src/a/self': 'src/a/self',
        'src/up': '.',
        'src/a/back': 'src',
        'src/b': 'else',
        'src/c': 'else/deep',
        'else/home': 'src',
        'else/loop': 'else',
        'else/deep/loop': 'else/deep',
    }.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    findings = find_sources(tmp_path / 'src', follow_links=True)
    assert {'a/x.mp4', 'b/y.mp4', 'b/deep/z.mp4'} <= {source.video_id for source in findings.sources}
    assert {source.path.name for source in findings.sources} == {'x.mp4', 'y.mp4', 'z.mp4'}
    assert {'up', 'a/back', 'b/home', 'b/loop'} <= {file.path for file in findings.ignored}


@pytest.mark.skipif(os.name != 'posix', reason='file names are bytes on POSIX only')
def test_name_that_is_not_text(tmp_path):
    (tmp_path / os.fsdecode(b'caf\xe9.mp4')).touch()
    (source,) = find_sources(tmp_path).sources
    assert source.video_id == 'caf\ufffd.mp4' and 'UTF-8' in source.problem


def test_no_source(tmp_path):
    assert f'{tmp_path / "x"} does not exist' in message(2, tmp_path / 'x')
    touch(tmp_path, 'file')
    assert 'is not a folder' in message(2, tmp_path / 'file')


def test_nothing_found(tmp_path):
    assert str(tmp_path) in message(1, tmp_path)
    (tmp_path / 'index.csv').write_text('path,label,patient_id\n')
    assert 'index.csv' in message(1, tmp_path)


def test_label_outside_classes(tmp_path):
    touch(tmp_path, 'a/x.mp4', 'b/y.mp4')
    text = message(2, tmp_path, classes=['a', 'c'])
    assert "'b'" in text and 'a c' in text and 'y.mp4' in text
    assert len(found(tmp_path, classes=['b', 'a', 'c'])) == 2


def test_index_of_the_source_is_taken(tmp_path):
    touch(tmp_path, 'a/x.mp4', 'a/y.mp4', 'scan/1.png')
    (tmp_path / 'index.csv').write_text(
        'path,label,patient_id,split,note\nscan,reg,p1,val,n\na/x.mp4,,,,\nabsent.mp4,cov,p2,train,\n'
    )
    sources = find_sources(tmp_path).sources
    assert [(s.video_id, s.label, s.patient_id, s.split) for s in sources] == [
        ('a/x.mp4', None, None, None),
        ('absent.mp4', 'cov', 'p2', 'train'),
        ('scan', 'reg', 'p1', 'val'),
    ]
    assert sources[1].problem.startswith('missing') and sources[0].problem is None and sources[2].problem is None


def test_given_index_wins_and_is_relative_to_the_source(tmp_path):
    touch(tmp_path, 'src/x.mp4', 'src/y.mp4')
    (tmp_path / 'src/index.csv').write_text('path,label,patient_id\nx.mp4,,\n')
    (tmp_path / 'other.csv').write_text('path,label,patient_id\ny.mp4,a,\n')
    assert found(tmp_path / 'src', index=tmp_path / 'other.csv') == [('y.mp4', 'a')]


def test_indexed_link_that_leaves_the_source_is_refused(tmp_path):
    touch(tmp_path, 'src/x.mp4', 'secret.mp4')
    (tmp_path / 'src/y.mp4').symlink_to(tmp_path / 'secret.mp4')
    (tmp_path / 'src/index.csv').write_text('path,label,patient_id\nx.mp4,,\ny.mp4,,\n')
    assert find_sources(tmp_path / 'src').sources[1].problem == LEAVES_SOURCE
    assert find_sources(tmp_path / 'src', follow_links=True).sources[1].problem is None


@pytest.mark.parametrize(('on_disk', 'in_index'), [('NFC', 'NFD'), ('NFD', 'NFC'), ('NFD', 'NFD')])
def test_names_that_the_disk_spells_otherwise(tmp_path, on_disk, in_index):
    name = 'Müller/größe é.mp4'
    touch(tmp_path, unicodedata.normalize(on_disk, name))
    assert found(tmp_path) == [(name, 'Müller')]
    text = f'path,label,patient_id\n{unicodedata.normalize(in_index, name)},a,p\n'
    (tmp_path / 'index.csv').write_text(text, encoding='utf-8')
    (source,) = find_sources(tmp_path).sources
    assert (source.video_id, source.problem, source.path.exists()) == (name, None, True)
    assert [file.path for file in find_sources(tmp_path).ignored] == ['index.csv']


def test_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    touch(tmp_path, 'a/x.mp4', 'b/y.mp4')
    whole = pathlib.Path.iterdir

    def iterdir(path):
        if path.name == 'b':
            raise PermissionError(13, 'Permission denied')
        return whole(path)

    monkeypatch.setattr(pathlib.Path, 'iterdir', iterdir)
    assert [(source.video_id, source.problem is None) for source in find_sources(tmp_path).sources] == [
        ('a/x.mp4', True),
        ('b', False),
    ]


def test_frames_of_a_found_folder_can_be_opened(tmp_path):
    (tmp_path / 'a/v').mkdir(parents=True)
    Image.new('L', (8, 8)).save(tmp_path / 'a/v/1.png')
    assert find_sources(str(tmp_path)).sources[0].path.is_dir()


def test_two_videos_of_one_id_are_an_error(tmp_path):
    for folder in ('scan', 'scan/scan'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'a.png').touch()
    with pytest.raises(SourceError, match="would both be video 'scan': rename one"):
        walk_sources(tmp_path / 'scan')
