import json

import pytest

from uscl.clips.video_source import VideoSource
from uscl.convert.pocus.split_file import assign_splits, read_split_files
from uscl.core.errors import SourceError


@pytest.fixture
def write(tmp_path):
    def written(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding='utf-8')
        return path

    return written


def source(name, **facts):
    return VideoSource(f'pocus_videos/convex/{name}', f'/clone/{name}', label='covid', **facts)


def test_clips_get_the_split_of_their_file_name(write):
    train = write('train.json', [{'source': 'Cov_A.gif', 'label': 2}] * 3 + [{'source': 'images/Reg_B.mp4'}])
    test = write('test.txt', '\ufeffpneu_c.MP4\n\n')
    splits = read_split_files([f'train={train}', f'test={test}'])
    assert splits == {'cov_a.gif': 'train', 'reg_b.mp4': 'train', 'pneu_c.mp4': 'test'}
    found = assign_splits([source('Cov_A.gif'), source('Pneu_C.mp4'), source('Reg_D.mp4')], splits)
    assert [(each.split, each.label) for each in found] == [('train', 'covid'), ('test', 'covid'), (None, None)]
    assert found[0].problem is None
    assert 'no split file' in found[2].problem


def test_a_problem_that_is_known_stays(write):
    splits = read_split_files([f'val={write("val.txt", "a.gif")}'])
    (found,) = assign_splits([source('a.gif', problem='cannot be read')], splits)
    assert found.problem == 'cannot be read'


def test_a_clip_in_two_splits_is_refused(write):
    train, test = write('train.txt', 'a.gif\nb.gif'), write('test.txt', 'B.gif')
    with pytest.raises(SourceError, match=r'test\.txt puts B\.gif in test, another file in train'):
        read_split_files([f'train={train}', f'test={test}'])


@pytest.mark.parametrize(
    ('name', 'content', 'named'),
    [
        ('a.json', '{', 'JSON list'),
        ('a.json', {'source': 'a.gif'}, 'JSON list'),
        ('a.json', [{'image': 'a.gif'}], 'JSON list'),
        ('a.json', 7, 'JSON list'),
        ('a.json', [{'source': 7}], 'not a name'),
        ('a.json', [], 'names no file'),
        ('a.txt', '\n \n', 'names no file'),
    ],
)
def test_files_that_are_no_split(write, name, content, named):
    path = write(name, content)
    with pytest.raises(SourceError, match=rf'{name}.*{named}'):
        read_split_files([f'train={path}'])


@pytest.mark.parametrize('given', ['a.json', 'holdout=a.json', 'train='])
def test_another_form(given):
    with pytest.raises(SourceError, match=f'--split-file {given}: write train=FILE'):
        read_split_files([given])


def test_a_file_that_does_not_exist(tmp_path):
    with pytest.raises(SourceError, match=r'none\.json does not exist'):
        read_split_files([f'train={tmp_path / "none.json"}'])


def test_no_clip_of_the_source(write):
    splits = read_split_files([f'train={write("train.txt", "a.gif")}'])
    with pytest.raises(SourceError, match='none of the clips'):
        assign_splits([source('b.gif')], splits)
