import os

import pytest
from PIL import Image

from uscl.clips.discovery import find_sources
from uscl.core.errors import SourceError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(*args, **kwargs):
    return [(source.video_id, source.label) for source in find_sources(*args, **kwargs)]


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
    touch(tmp_path, 'a/v1/1.png', 'a/v1/2.JPG', 'a/v1/clip.mp4', 'v2/1.jpeg')
    assert found(tmp_path) == [('a/v1', 'a'), ('a/v1/clip.mp4', 'a'), ('v2', None)]
    assert find_sources(tmp_path)[0].path == tmp_path / 'a/v1'


def test_images_directly_in_the_source_are_one_video(tmp_path):
    touch(tmp_path, 'scan/1.png')
    assert found(tmp_path / 'scan') == [('scan', None)]


def test_hidden_files_and_folders_are_ignored(tmp_path):
    touch(tmp_path, 'a/.hidden.mp4', '.cache/x.mp4', 'a/._1.png', 'a/x.mp4')
    assert found(tmp_path) == [('a/x.mp4', 'a')]


def test_out_is_not_a_source(tmp_path):
    touch(tmp_path, 'a/x.mp4', 'out/frames/a/000000.png', 'output/y.mp4')
    assert found(tmp_path, out=tmp_path / 'out') == [('a/x.mp4', 'a'), ('output/y.mp4', 'output')]
    assert '--out' in message(2, tmp_path, out=tmp_path / 'a' / '..')


def test_links_that_leave_the_source_are_refused(tmp_path):
    touch(tmp_path, 'src/a/x.mp4', 'else/y.mp4', 'else/folder/z.mp4')
    (tmp_path / 'src/a/in.mp4').symlink_to(tmp_path / 'src/a/x.mp4')
    (tmp_path / 'src/a/out.mp4').symlink_to(tmp_path / 'else/y.mp4')
    (tmp_path / 'src/a/folder').symlink_to(tmp_path / 'else/folder')
    (tmp_path / 'src/loop').symlink_to(tmp_path / 'src')
    problems = {source.video_id: source.problem for source in find_sources(tmp_path / 'src')}
    assert list(problems) == ['a/folder', 'a/in.mp4', 'a/out.mp4', 'a/x.mp4']
    assert 'leads out of the source' in problems['a/out.mp4'] and 'leads out of the source' in problems['a/folder']
    assert problems['a/in.mp4'] is None and problems['a/x.mp4'] is None
    (tmp_path / 'link').symlink_to(tmp_path / 'src')
    assert len(find_sources(tmp_path / 'link')) == 4


@pytest.mark.skipif(os.name != 'posix', reason='file names are bytes on POSIX only')
def test_name_that_is_not_text(tmp_path):
    (tmp_path / os.fsdecode(b'caf\xe9.mp4')).touch()
    (source,) = find_sources(tmp_path)
    assert source.video_id == 'caf\ufffd.mp4' and 'UTF-8' in source.problem


def test_no_source(tmp_path):
    assert f'{tmp_path / "x"} does not exist' in message(2, tmp_path / 'x')
    touch(tmp_path, 'file')
    assert 'is not a folder' in message(2, tmp_path / 'file')


def test_nothing_found(tmp_path):
    assert 'nothing could be read' in message(1, tmp_path)
    (tmp_path / 'index.csv').write_text('path,label,patient_id\n')
    assert 'nothing could be read' in message(1, tmp_path)


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
    sources = find_sources(tmp_path)
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
    assert 'leads out' in find_sources(tmp_path / 'src')[1].problem


def test_frames_of_a_found_folder_can_be_opened(tmp_path):
    (tmp_path / 'a/v').mkdir(parents=True)
    Image.new('L', (8, 8)).save(tmp_path / 'a/v/1.png')
    assert find_sources(str(tmp_path))[0].path.is_dir()


def test_two_videos_of_one_id_are_an_error(tmp_path):
    for folder in ('scan', 'scan/scan'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'a.png').touch()
    with pytest.raises(SourceError, match="would both be video 'scan': rename one"):
        find_sources(tmp_path / 'scan')
