"""Nothing in a source folder is left out without a word."""

from pathlib import Path

import av
import pytest
from media_clips import draw, index_of
from PIL import Image

from uscl.clips.discovery import find_sources
from uscl.clips.media_suffixes import CLIP_SUFFIXES, IMAGE_SUFFIXES, READ_SUFFIXES
from uscl.clips.readers import open_clip
from uscl.core.errors import SourceError

# suffix: (container, codec); others are written as .mp4
CONTAINERS = {
    '.avi': ('avi', 'mpeg4'),
    '.divx': ('avi', 'mpeg4'),
    '.mkv': ('matroska', 'mpeg4'),
    '.webm': ('webm', 'libvpx'),
    '.ogv': ('ogg', 'libvpx'),
    '.gif': ('gif', 'gif'),
    '.flv': ('flv', 'flv'),
    '.f4v': ('f4v', 'libx264'),
    '.wmv': ('asf', 'wmv2'),
    '.asf': ('asf', 'wmv2'),
    '.mpg': ('mpeg', 'mpeg1video'),
    '.mpeg': ('mpeg', 'mpeg2video'),
    '.mpe': ('mpeg', 'mpeg2video'),
    '.vob': ('vob', 'mpeg2video'),
    '.m1v': ('mpeg1video', 'mpeg1video'),
    '.m2v': ('mpeg2video', 'mpeg2video'),
    '.ts': ('mpegts', 'mpeg2video'),
    '.m2t': ('mpegts', 'mpeg2video'),
    '.mts': ('mpegts', 'libx264'),
    '.m2ts': ('mpegts', 'libx264'),
    '.mxf': ('mxf', 'mpeg2video'),
    '.3gp': ('3gp', 'mpeg4'),
    '.3g2': ('3g2', 'mpeg4'),
    '.qt': ('mov', 'mpeg4'),
    '.mov': ('mov', 'mpeg4'),
}


def encode(path: Path, codec: str, container: str, num_frames: int = 12) -> Path:
    with av.open(
        str(path), 'w', format=container, options={'mpegts_m2ts_mode': '1'} if path.suffix == '.m2ts' else {}
    ) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = 'rgb8' if codec == 'gif' else 'yuv420p'
        stream.bit_rate = 4_000_000
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(draw(index), format='rgb24').reformat(format=stream.pix_fmt)
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize('suffix', sorted(CLIP_SUFFIXES))
def test_a_clip_of_every_suffix_is_found_and_read(tmp_path, suffix):
    (tmp_path / 'a').mkdir()
    container, codec = CONTAINERS.get(suffix, ('mp4', 'mpeg4'))
    encode(tmp_path / f'a/clip{suffix.upper()}', codec, container)
    (source,) = find_sources(tmp_path).sources
    assert (source.label, source.problem) == ('a', None)
    assert [index_of(frame) for frame in open_clip(source.path)] == list(range(12))


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text('some text, which is neither a clip nor DICOM')


def test_what_is_not_read_is_counted_by_kind(tmp_path):
    touch(tmp_path, 'a/x.mp4', 'a/1.docx', 'b/2.DOCX', 'b/3.docx', 'b/more.zip', 'b/scan.tar.gz', 'b/no suffix')
    touch(tmp_path, 'README.md', 'LICENSE', 'notes.txt', 'DICOMDIR', 'list.xlsx', 'b/1.2.840.113')
    touch(tmp_path, '.hidden', 'b/Thumbs.db', 'b/desktop.ini', '.DS_Store', '.git/config')
    findings = find_sources(tmp_path)
    said = findings.describe_ignored()
    assert said.startswith('12 files ignored: 4 documents beside the clips, 3 .docx, ')
    assert all(
        part in said for part in ('1 .zip (unpack it)', '1 .gz (unpack it)', '2 files of unknown kind', '1 .xlsx (save')
    )
    reasons = {file.path: file.reason for file in findings.ignored}
    assert reasons['b/more.zip'] == 'ignored: .zip, unpack it' and reasons['b/3.docx'] == 'ignored: .docx'


def test_many_kinds_are_summed_up(tmp_path):
    touch(tmp_path, 'x.mp4', *(f'{k}.k{k}k' for k in range(30)), '31.k0k')
    said = find_sources(tmp_path).describe_ignored()
    assert said.startswith('31 files ignored: 2 .k0k, ') and said.endswith(', 20 of other kinds')


def test_what_an_index_does_not_list_is_counted(tmp_path):
    touch(tmp_path, 'a/x.mp4', 'a/y.mp4', 'a/z.avi', 'notes.docx', 'odd.xyz')
    for name in ('v1/0.png', 'v2/0.png', 'v2/1.png', 'stills/1.png', 'stills/2.png', 'stills/3.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new('L', (8, 8)).save(tmp_path / name)
    (tmp_path / 'INDEX.csv').write_text('path,label,patient_id\na/x.mp4,,\nv1,,\nstills/2.png,,\nodd.xyz,,\n')
    findings = find_sources(tmp_path)
    assert [source.video_id for source in findings.sources] == ['a/x.mp4', 'odd.xyz', 'stills/2.png', 'v1']
    said = findings.describe_ignored()
    assert said.startswith(
        '7 files ignored: 2 clips that INDEX.csv does not list, 2 images that INDEX.csv does not list, '
    )
    assert '1 folder of images that INDEX.csv does not list' in said
    assert {file.path for file in findings.ignored} == {
        'a/y.mp4', 'a/z.avi', 'v2', 'stills/1.png', 'stills/3.png', 'notes.docx', 'INDEX.csv',
    }  # fmt: skip


def test_nothing_to_read_says_what_lies_there(tmp_path):
    touch(tmp_path, 'clips.zip', 'more.zip')
    with pytest.raises(SourceError, match=r'2 files ignored: 2 \.zip \(unpack it\)') as caught:
        find_sources(tmp_path)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize('suffix', sorted(READ_SUFFIXES))
def test_every_suffix_that_is_read_is_found_in_any_case(tmp_path, suffix):
    touch(tmp_path, f'a/clip/x{suffix}', f'b/clip/y{suffix.upper()}')
    found = find_sources(tmp_path)
    by_file = {} if suffix in IMAGE_SUFFIXES else {f'a/clip/x{suffix}': 'a', f'b/clip/y{suffix.upper()}': 'b'}
    assert {s.video_id: s.label for s in found.sources} == (by_file or {'a/clip': 'a', 'b/clip': 'b'})
    assert not found.ignored
