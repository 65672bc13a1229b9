"""Images are opened in one way, so that no file starts another program, whatever it is called."""

import ast
import json
import os
from io import BytesIO
from pathlib import Path

import pytest
from lesion_folders import blobs, save, scan
from PIL import Image

from uscl.clips.discovery import find_sources
from uscl.clips.given_clips import use_given
from uscl.clips.readers import open_clip
from uscl.convert.lesions.lesion_conversion import convert_lesions
from uscl.convert.lesions.lesion_settings import LesionSettings
from uscl.convert.videos.store_settings import StoreSettings
from uscl.convert.videos.video_conversion import convert_sources
from uscl.data.coco_file import read_coco

# Whatever opens an image, and where it may: the rest of the tree uses uscl.clips.image_opening.
OPENERS = {
    'Image.open', 'cv2.imread', 'cv2.imreadmulti', 'cv2.imdecode', 'cv2.imdecodemulti', 'mmcv.imread',
    'mmcv.imfrombytes', 'mmcv.use_backend', 'plt.imread', 'imageio.imread', 'tifffile.imread', 'tifffile.TiffFile',
    'cv2.VideoCapture', 'mmcv.VideoReader', 'read_image', 'decode_image',
}  # fmt: skip
ALLOWED = {
    ('uscl/clips/image_opening.py', 'Image.open'),  # the one
    ('uscl/clips/dicom_colours.py', 'Image.open'),  # of a stream in a DICOM file, as JPEG or JPEG 2000
    ('uscl/reports/overview_page.py', 'Image.open'),  # of a JPEG that it has just made
    ('uscl/data/frame_loading.py', 'cv2.imdecode'),  # starts no program
    ('tools/benchmarks/frame_stores.py', 'mmcv.imfrombytes'),  # of files that it has written
}
PROGRAM = '%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n%%EndComments\n(%pipe%touch x) (w) file\n%%EOF\n'


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, '.'.join(ast.unparse(node.func).split('.')[-2:])


def test_nothing_else_opens_images(root):
    found = set()
    for room in ('uscl', 'uscl_plugin', 'tools'):
        for path in (root / room).rglob('*.py'):
            for node, name in calls(ast.parse(path.read_text())):
                if name in OPENERS:
                    found.add((path.relative_to(root).as_posix(), name))
                    formats = [keyword.value for keyword in node.keywords if keyword.arg == 'formats']
                    assert name != 'Image.open' or formats, path
    assert found == ALLOWED
    for path in root.glob('configs/**/*.py'):  # mmcv's others are Pillow, with all its formats, and tifffile
        assert 'imdecode_backend' not in path.read_text(), path


def postscript(path):
    path.write_text(PROGRAM)


def other(kind, **options):
    return lambda path: Image.new('RGB', (40, 30)).save(path, kind, **options)


def pdf(path):
    path.write_bytes(b'%PDF-1.4\n' + bytes(100))


def playlist(path):
    path.write_text('#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n')


def windows_bitmap_of_postscript(path):
    buffer = BytesIO()
    Image.new('L', (4, 4)).save(buffer, 'EPS')
    path.write_bytes(b'\xc5\xd0\xd3\xc6' + (32).to_bytes(4, 'little') + len(buffer.getvalue()).to_bytes(4, 'little')
                     + bytes(20) + buffer.getvalue())  # fmt: skip


KINDS = [
    postscript, windows_bitmap_of_postscript, other('EPS'), other('PPM'), other('TGA'), other('ICO'), other('PCX'),
    other('IM'), other('SGI'), other('JPEG2000'), pdf, playlist,
]  # fmt: skip


@pytest.fixture(autouse=True)
def ghostscript(tmp_path, monkeypatch):
    """A program called gs that leaves a trace; Pillow alone would start it."""
    folder, trace = tmp_path / 'bin', tmp_path / 'started'
    folder.mkdir()
    (folder / 'gs').write_text(f'#!/bin/sh\ntouch {trace}\n')
    (folder / 'gs').chmod(0o755)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    yield trace
    assert not trace.exists()


def test_the_trap_would_close(tmp_path, ghostscript, monkeypatch):
    monkeypatch.setattr('PIL.EpsImagePlugin.gs_binary', None)
    postscript(tmp_path / 'a.png')
    with pytest.raises(OSError), Image.open(tmp_path / 'a.png') as image:
        image.load()
    assert ghostscript.exists()
    ghostscript.unlink()


def convert_clips(folder: Path, path: Path) -> str:
    convert_sources(find_sources(folder), folder.parent / 'out', StoreSettings(size=16), workers=1)
    skipped = folder.parent / 'out' / 'skipped.csv'
    return skipped.read_text() if skipped.exists() else ''


def look_at_clips(folder: Path, path: Path) -> str:
    told: list[str] = []
    list(use_given([folder], lambda source: list(open_clip(source.path)), told.append))  # predict and cam
    return ' '.join(told)


def convert_masks(folder: Path, path: Path) -> str:
    convert_lesions(folder, folder.parent / 'out', LesionSettings('pairs'), overview=True)
    skipped = folder.parent / 'out' / 'skipped.csv'
    return skipped.read_text() if skipped.exists() else ''


def check_coco(folder: Path, path: Path) -> str:
    image = {'id': 1, 'file_name': path.relative_to(folder).as_posix(), 'width': 40, 'height': 30}
    coco = folder.parent / 'val.json'
    coco.write_text(json.dumps({'images': [image], 'annotations': [], 'categories': []}))
    try:
        read_coco(coco, folder)
    except ValueError as error:
        return str(error)
    return ''


@pytest.mark.parametrize('kind', KINDS, ids=range(len(KINDS)))
@pytest.mark.parametrize(
    ('route', 'name'),
    [
        (convert_clips, 'a/clip/1.png'),
        (look_at_clips, 'clip/1.webp'),
        (look_at_clips, 'clip/1.tiff'),
        (convert_masks, 'images/1.png'),
        (convert_masks, 'masks/1.png'),
        (check_coco, 's/1.jpg'),
        (check_coco, 's/1.png'),
    ],
)
def test_what_is_called_an_image_but_is_none(tmp_path, kind, route, name, capfd):
    folder, path = tmp_path / 'src', tmp_path / 'src' / name
    if route is convert_masks:
        for each in ('images/0.png', 'masks/0.png', 'images/1.png', 'masks/1.png'):
            save(folder / each, blobs((5, 5, 9, 9)) if 'masks' in each else scan())
    else:
        save(path, scan())
    assert route(folder, path) == ''
    kind(path)
    said = route(folder, path)
    assert path.name in said or path.parent.name in said, said
    assert 'opened' in said or 'read' in said
