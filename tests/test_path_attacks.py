"""Paths and links that lead out of a folder: nothing is read there, and nothing is written."""

import json
from pathlib import Path

import numpy as np
import pytest
from lesion_folders import blobs, save, scan
from PIL import Image

from uscl.clips.discovery import find_sources
from uscl.clips.given_clips import use_given
from uscl.clips.readers import open_clip
from uscl.clips.source_findings import SourceFindings
from uscl.clips.source_index import read_index
from uscl.clips.video_source import VideoSource
from uscl.convert.lesions.lesion_conversion import convert_lesions
from uscl.convert.lesions.lesion_settings import LesionSettings
from uscl.convert.videos.store_settings import StoreSettings
from uscl.convert.videos.video_conversion import convert_sources
from uscl.core.atomic_files import write_text
from uscl.core.errors import ClipError, FolderInUseError, SourceError
from uscl.core.folder_lock import LOCK
from uscl.core.relative_path import is_inside, leads_out
from uscl.data.coco_file import read_coco
from uscl.data.folder_writer import write_data_folder
from uscl.data.frame_store import damaged_videos
from uscl.data.png_frames import store_name, write_png
from uscl.data.store_writer import StoreWriter
from uscl.data.video_folder import VideoFolder

OUTSIDE = [
    '../a.png', '..', 'a/../../b.png', 'a/..', './../a.png', '/etc/passwd', '//server/share/a.png', '///a.png',
    '..\\a.png', 'a\\..\\..\\b.png', '\\a.png', '\\\\server\\share\\a.png', '\\\\?\\C:\\a.png', 'C:\\a.png', 'C:/a.png',
    'C:a.png', 'c:', 'c:..\\a.png', '.. /a.png', '..  \\a.png', '.../a.png', 'a/.. ./b.png', ' ../a.png', 'a/ /b.png',
    'a.png\0', '../\0a.png', 'a\0/../b.png',
]  # fmt: skip
# Nobody decodes names, so these are files as they stand, and Unicode's dots and slashes are letters.
INSIDE = ['%2e%2e/a.png', '..%2fa.png', '..%00/a.png', '．．/a.png', '..∕a.png', 'a..b/c..png', '~/a.png', 'a b/c.png']
STORED = [*(name for name in OUTSIDE if name), 'a/b.safetensors', 'a\\b.safetensors', '.', '']


def clip_folder(root: Path, num_frames: int = 2) -> Path:
    for number in range(num_frames):
        save(root / 'a' / 'clip' / f'{number}.png', scan(number))
    return root


def convert(src: Path, out: Path) -> int:
    return convert_sources(find_sources(src, out=out), out, StoreSettings(size=16), workers=1)


@pytest.mark.parametrize('name', OUTSIDE)
def test_a_path_out_of_the_folder_is_refused_everywhere(tmp_path, name):
    assert not is_inside(name)
    index, coco = tmp_path / 'index.csv', tmp_path / 'val.json'
    if '\0' not in name and name == name.strip():
        index.write_text(f'path,label,patient_id\n"{name}",a,p\n')
        with pytest.raises(SourceError, match=r'index\.csv row 2'):
            read_index(index, tmp_path)
    image = {'id': 1, 'file_name': name, 'width': 8, 'height': 8}
    coco.write_text(json.dumps({'images': [image], 'annotations': [], 'categories': [{'id': 1, 'name': 'lesion'}]}))
    with pytest.raises(ValueError, match=r'val\.json cannot be used:\n- file_name or link outside the image folder'):
        read_coco(coco, tmp_path)


@pytest.mark.parametrize('name', INSIDE)
def test_a_strange_name_is_a_name(tmp_path, name):
    assert is_inside(name)
    save(tmp_path / name, scan())
    image = {'id': 1, 'file_name': name, 'width': 40, 'height': 30}
    (tmp_path / 'val.json').write_text(json.dumps({'images': [image], 'annotations': [], 'categories': []}))
    assert read_coco(tmp_path / 'val.json', tmp_path)['images'] == [image]


@pytest.mark.parametrize('name', STORED)
def test_a_shard_is_a_file_of_the_store(tmp_path, name):
    root = write_data_folder(tmp_path / 'data', [{'video_id': 'v', 'frames': [scan()]}])
    assert len(VideoFolder(root)[0]['frames']) == 1
    index = root / 'store' / 'index.json'
    content = json.loads(index.read_text())
    content['shards'] = {name: 1}
    content['videos']['v']['shard'] = name
    index.write_text(json.dumps(content))
    with pytest.raises((ValueError, FileNotFoundError), match=r'data/store/'):
        VideoFolder(root)


@pytest.mark.parametrize('video_id', ['../../v.mp4', '/etc/v.mp4', '..\\v', 'C:\\v', '..', '.', 'CON', '~', ' '])
def test_an_id_is_no_path(tmp_path, video_id):
    """Whatever the annotation of a folder names its videos, files named after them stay in their folder."""
    name = store_name(video_id)
    assert is_inside(name) and Path(name).name == name and '\\' not in name and name[0] not in '.-'
    root = write_data_folder(tmp_path / 'data', [{'video_id': video_id, 'frames': [scan()]}])
    np.testing.assert_array_equal(VideoFolder(root)[0]['frames'][0], scan())
    assert sorted(path.name for path in tmp_path.iterdir()) == ['data']


@pytest.mark.parametrize('kind', ['file', 'folder', 'dangling', 'loop', 'chain', 'parent'])
def test_links_out_of_a_source(tmp_path, kind):
    root, far = clip_folder(tmp_path / 'src'), clip_folder(tmp_path / 'far')
    assert convert(root, tmp_path / 'before') == 0
    link = root / 'a' / 'clip' / '9.png' if kind == 'file' else root / 'a' / 'linked'
    if kind == 'chain':
        (root / 'a' / 'hop').symlink_to(far)
    targets = {
        'file': far / 'a/clip/0.png', 'folder': far, 'dangling': far / 'absent', 'loop': link, 'chain': root / 'a/hop',
        'parent': tmp_path,
    }  # fmt: skip
    link.symlink_to(targets[kind])
    convert(root, tmp_path / 'out')
    entries = json.loads((tmp_path / 'out/annotations.json').read_text())['data_list'] if kind != 'file' else []
    assert [entry['video_id'] for entry in entries] == ([] if kind == 'file' else ['a/clip'])


@pytest.mark.parametrize('hidden', ['.h', 'a'])
def test_links_in_a_folder_that_the_index_lists(tmp_path, hidden):
    secret = save(tmp_path / 'secret.png', scan())
    root = tmp_path / 'src'
    save(root / hidden / 'clip' / '0.png', scan())
    (root / 'index.csv').write_text(f'path,label,patient_id\n{hidden}/clip,a,p\n')
    assert [source.problem for source in find_sources(root).sources] == [None]
    (root / hidden / 'clip' / '1.png').symlink_to(secret)
    (source,) = find_sources(root).sources
    assert 'link out of the source' in source.problem


@pytest.mark.parametrize('target', ['../out/secret.png', '../out', 'absent', '1.png'])
def test_links_in_a_folder_given_to_predict(tmp_path, target):
    save(tmp_path / 'out' / 'secret.png', scan())
    save(tmp_path / 'clip' / '0.png', scan())
    given = tmp_path / 'link'
    given.symlink_to(tmp_path / 'clip')  # itself a link: this is fine

    def frames():
        told = []
        return list(use_given([given], lambda source: len(list(open_clip(source.path))), told.append)), told

    assert frames() == ([1], [])
    (tmp_path / 'clip' / '1.png').symlink_to(target)
    found, told = frames()
    assert not found and told[0].startswith(f'skipped: {given}: ')


def test_pixels_beside_a_header_are_no_link(tmp_path):
    pytest.importorskip('SimpleITK')
    header = 'NDims = 3\nDimSize = 4 4 2\nElementType = MET_UCHAR\nElementDataFile = a.raw\n'
    (tmp_path / 'secret').write_bytes(bytes(32))
    (tmp_path / 'src').mkdir()
    path = tmp_path / 'src' / 'a.mhd'
    path.write_text('ObjectType = Image\n' + header)
    (tmp_path / 'src' / 'a.raw').symlink_to(tmp_path / 'secret')
    with pytest.raises(ClipError, match=r'a\.mhd: its pixels, a\.raw, are a link'):
        list(open_clip(path))


@pytest.mark.parametrize('part', ['images', 'masks'])
@pytest.mark.parametrize('which', ['file', 'folder'])
def test_links_in_a_folder_of_lesions(tmp_path, part, which, capsys):
    root = tmp_path / 'src'
    for name in ('0.png', '1.png'):
        save(root / 'images' / name, scan(2))
        save(root / 'masks' / name, blobs((5, 5, 9, 9)))
    assert convert_lesions(root, tmp_path / 'clean', LesionSettings('pairs'), overview=False) == 0
    assert not (tmp_path / 'clean' / 'skipped.csv').exists()
    moved = root / part / '1.png' if which == 'file' else root / part
    moved.rename(tmp_path / 'moved')
    moved.symlink_to(tmp_path / 'moved')
    code = convert_lesions(root, tmp_path / 'out', LesionSettings('pairs'), overview=False)
    assert code == (which == 'folder')
    assert 'images/1.png,"a link out of the source' in (tmp_path / 'out' / 'skipped.csv').read_text()
    assert not (tmp_path / 'out' / 'images' / '1.png').exists()


@pytest.mark.parametrize('kind', ['file', 'folder'])
def test_links_in_a_folder_of_coco_images(tmp_path, kind):
    save(tmp_path / 'far' / 'a.png', scan())
    (tmp_path / 'real').mkdir()
    root = tmp_path / 'images'
    root.symlink_to(tmp_path / 'real')  # itself a link: this is fine
    save(root / 'ok.png', scan())
    name = 'link.png' if kind == 'file' else 'link/a.png'
    (root / 'link').symlink_to(tmp_path / 'far')
    (root / 'link.png').symlink_to(tmp_path / 'far/a.png')
    path = tmp_path / 'val.json'
    for file_name, is_refused in (('ok.png', False), (name, True)):
        image = {'id': 1, 'file_name': file_name, 'width': 40, 'height': 30}
        path.write_text(json.dumps({'images': [image], 'annotations': [], 'categories': []}))
        if is_refused:
            with pytest.raises(ValueError, match=rf'file_name or link outside the image folder: .*{name}'):
                read_coco(path, root)
        else:
            read_coco(path, root)


@pytest.mark.parametrize('linked', ['shard', 'root'])
def test_links_in_a_data_folder(tmp_path, linked):
    root = write_data_folder(tmp_path / 'data', [{'video_id': 'v', 'frames': [scan()]}])
    if linked == 'root':
        (tmp_path / 'link').symlink_to(root)
        assert len(VideoFolder(tmp_path / 'link')[0]['frames']) == 1
        return
    (shard,) = root.glob('store/*.safetensors')
    shard.rename(tmp_path / 'far')
    shard.symlink_to(tmp_path / 'far')
    with pytest.raises(ValueError, match=rf'store/{shard.name} is a link out of the store'):
        damaged_videos(root)
    with pytest.raises(ValueError, match=rf'store/{shard.name} is a link out of the store'):
        VideoFolder(root)[0]


@pytest.mark.parametrize('target', ['file', 'folder', 'dangling'])
@pytest.mark.parametrize(
    'name', ['store', 'frames', 'masked', 'annotations.json', 'skipped.csv', 'overview.html', LOCK]
)
def test_nothing_is_written_through_a_link_in_the_output(tmp_path, name, target):
    src, out, far = clip_folder(tmp_path / 'src'), tmp_path / 'out', tmp_path / 'far'
    out.mkdir()
    if target == 'file':
        far.write_text('mine')
    elif target == 'folder':
        save(far / 'kept' / 'a.safetensors.png', scan()).rename(far / 'kept' / 'a.safetensors')
        (far / 'a.safetensors').write_text('mine')
    before = sorted(map(str, tmp_path.glob('far/**/*')))
    (out / name).symlink_to(far)
    with pytest.raises((FolderInUseError, SourceError), match=rf'out/{name} is '):  # an annotation is read first
        convert(src, out)
    assert sorted(map(str, tmp_path.glob('far/**/*'))) == before and far.exists() == (target != 'dangling')
    assert target != 'file' or far.read_text() == 'mine'
    assert [path.name for path in out.iterdir()] == [name]
    (out / name).unlink()
    assert convert(src, out) == 0


def test_an_output_folder_may_be_a_link(tmp_path):
    (tmp_path / 'real').mkdir()
    (tmp_path / 'out').symlink_to(tmp_path / 'real')
    assert convert(clip_folder(tmp_path / 'src'), tmp_path / 'out') == 0
    assert (tmp_path / 'real' / 'annotations.json').is_file()


def test_links_further_down_are_replaced(tmp_path):
    """Pictures, and the file that a decoder writes to."""
    mine, out = tmp_path / 'mine', tmp_path / 'out'
    mine.write_text('mine')
    source = VideoSource('a/clip', clip_folder(tmp_path / 'src', 12) / 'a' / 'clip', 'a')
    (out / 'store').mkdir(parents=True)
    (out / 'masked').mkdir()
    (out / 'store' / f'.{store_name("a/clip")}.tmp').symlink_to(mine)
    (out / 'store' / 'x.safetensors').symlink_to(mine)
    (out / 'store' / 'x.jsonl').write_text('{"video_id": "v"}\n')
    (out / 'masked' / f'{store_name("a/clip")}.png').symlink_to(mine)
    assert convert_sources(SourceFindings([source]), out, StoreSettings(size=16, mask_tolerance=8), workers=1) == 0
    assert mine.read_text() == 'mine' and not any(path.is_symlink() for path in out.rglob('*'))


def test_a_store_that_is_a_link_is_not_written(tmp_path):
    videos = [{'video_id': 'v', 'frames': [scan()]}]
    theirs = write_data_folder(tmp_path / 'theirs', videos)
    before = sorted((path.name, path.read_bytes()) for path in (theirs / 'store').iterdir())
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'store').symlink_to(theirs / 'store')
    with pytest.raises(ValueError, match='mine/store is a link'):
        StoreWriter(tmp_path / 'mine', ['w'])
    assert sorted((path.name, path.read_bytes()) for path in (theirs / 'store').iterdir()) == before


@pytest.mark.parametrize('write', [lambda path: write_text(path, 'new'), lambda path: write_png(path, scan())])
def test_a_file_takes_the_place_of_a_link(tmp_path, write):
    (tmp_path / 'mine').write_text('mine')
    for target in (tmp_path / 'mine', tmp_path / 'absent', tmp_path / 'a'):
        (tmp_path / 'a').unlink(missing_ok=True)
        (tmp_path / 'a').symlink_to(target)
        write(tmp_path / 'a')
        assert not (tmp_path / 'a').is_symlink() and (tmp_path / 'a').is_file()
    assert (tmp_path / 'mine').read_text() == 'mine' and not (tmp_path / 'absent').exists()


@pytest.mark.skipif(not Path('/proc/self').is_dir(), reason='a folder in which nobody can write, not even root')
def test_what_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OSError, match=r"'/proc/self/a\.csv'"):
        write_text('/proc/self/a.csv', 'text')
    with pytest.raises(SourceError, match=r'cannot write to /proc/self/out .*: check its rights'):
        convert(clip_folder(tmp_path / 'src'), Path('/proc/self/out'))


def test_a_link_to_itself_leads_out(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'loop').symlink_to('loop')
    (tmp_path / 'a' / 'up').symlink_to('..')
    Image.new('L', (2, 2)).save(tmp_path / 'a' / 'b.png')
    assert not leads_out(tmp_path / 'a' / 'b.png', tmp_path / 'a') and not leads_out(tmp_path / 'a', tmp_path / 'a')
    assert leads_out(tmp_path / 'a' / 'up', tmp_path / 'a') and leads_out(tmp_path / 'a-b', tmp_path / 'a')
