import io
import warnings

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from uscl.clips import open_clip
from uscl.clips.image_opening import is_stack, open_image, read_frame
from uscl.core.errors import ClipError

# What EXIF's orientation asks for, in terms of rows and columns, and in words (angles clockwise).
UPRIGHT = {
    1: (lambda a: a, None),
    2: (lambda a: a[:, ::-1], 'mirrored'),
    3: (lambda a: np.rot90(a, 2), 'rotated 180°'),
    4: (lambda a: np.rot90(a[:, ::-1], 2), 'mirrored and rotated 180°'),
    5: (lambda a: np.rot90(a[:, ::-1], 1), 'mirrored and rotated 270°'),
    6: (lambda a: np.rot90(a, -1), 'rotated 90°'),
    7: (lambda a: np.rot90(a[:, ::-1], -1), 'mirrored and rotated 90°'),
    8: (lambda a: np.rot90(a, 1), 'rotated 270°'),
}


def noise(shape, high, dtype):
    return np.random.default_rng(0).integers(0, high, shape, dtype=dtype)


def scaled(values):
    """Reference: the range of all values becomes 0 to 255, rounded."""
    values = values.astype(np.float64)
    return np.rint((values - values.min()) / (values.max() - values.min()) * 255)


def save_pages(path, pages, **options):
    first, *rest = map(Image.fromarray, pages)
    first.save(path, save_all=True, append_images=rest, **options)
    return path


@pytest.mark.parametrize(
    'suffix, dtype',
    [
        *((suffix, np.uint8) for suffix in ('.png', '.tif', '.webp', '.jpg')),
        *((suffix, np.uint16) for suffix in ('.png', '.tif')),
    ],
)
@pytest.mark.parametrize('orientation', UPRIGHT)
def test_upright(tmp_path, orientation, suffix, dtype):
    stored = np.arange(6, dtype=dtype).reshape(2, 3).repeat(16, 0).repeat(16, 1) * 40
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f'a{suffix}'
    Image.fromarray(stored).save(path, exif=exif, **({'lossless': True} if suffix == '.webp' else {}))
    turn, words = UPRIGHT[orientation]
    expected = turn(stored if dtype == np.uint8 else scaled(stored))
    frame, facts = read_frame(path)
    np.testing.assert_allclose(frame[..., 0], expected, atol=3 if suffix == '.jpg' else 0)
    assert facts.get('turned') == words
    np.testing.assert_allclose(np.asarray(open_image(path).convert('I')), turn(stored), atol=3 * (suffix == '.jpg'))
    (frame,) = (clip := open_clip(path))
    np.testing.assert_allclose(frame[..., 0], expected, atol=3 if suffix == '.jpg' else 0)
    assert clip.facts.get('turned') == words


@pytest.mark.parametrize('high, dtype', [(4096, np.uint16), (256, np.uint16), (256, np.int32), (3000, np.int32)])
def test_deep_grey_takes_the_range_of_all_pages(tmp_path, high, dtype):
    pages = noise((4, 12, 17), high, dtype) + (np.arange(4) * high // 4).astype(dtype)[:, None, None]
    frames = np.stack(list(clip := open_clip(save_pages(tmp_path / 'a.tif', pages))))
    np.testing.assert_array_equal(frames, np.repeat(scaled(pages)[..., None], 3, axis=3))
    assert clip.facts == {'frames_decoded': 4, 'rescaled': [f'grey levels {pages.min()} to {pages.max()}']}


def test_floating_point(tmp_path):
    values = noise((12, 17), 1000, np.int32).astype(np.float32) / 8 - 50
    Image.fromarray(values).save(tmp_path / 'a.tif')
    np.testing.assert_array_equal(read_frame(tmp_path / 'a.tif')[0][..., 0], scaled(values))
    values[3, 4] = np.nan
    Image.fromarray(values).save(tmp_path / 'a.tif')
    with pytest.raises(ValueError, match='not numbers'):
        read_frame(tmp_path / 'a.tif')


@pytest.mark.parametrize(
    'dtype, photometric',
    [
        *((dtype, 'minisblack') for dtype in (np.int8, np.uint16, np.int16, np.uint32, np.int32, np.float32)),
        *((dtype, 'miniswhite') for dtype in (np.uint16, np.float32)),
    ],
)
def test_against_tifffile(tmp_path, dtype, photometric):
    tifffile = pytest.importorskip('tifffile')
    info = np.iinfo(dtype if dtype != np.float32 else np.int16)
    pages = np.random.default_rng(0).integers(info.min, info.max, (3, 12, 17), endpoint=True).astype(dtype)
    tifffile.imwrite(tmp_path / 'a.tif', pages, photometric=photometric)
    if dtype == np.int8:
        with pytest.raises(ClipError, match=r'a\.tif: .*signed'):
            list(open_clip(tmp_path / 'a.tif'))
        return
    frames = np.stack(list(open_clip(tmp_path / 'a.tif')))[..., 0]
    expected = scaled(tifffile.imread(tmp_path / 'a.tif'))
    # A half may be rounded up on one scale and down on the other.
    np.testing.assert_allclose(frames, expected if photometric == 'minisblack' else 255 - expected, atol=1)
    assert (frames == expected).mean() > 0.99 or photometric == 'miniswhite'


def test_deep_colours_keep_their_upper_bits_and_say_so(tmp_path):
    cv2 = pytest.importorskip('cv2')
    colours = noise((6, 7, 3), 65536, np.uint16)
    cv2.imwrite(str(tmp_path / 'a.png'), colours[..., ::-1])
    frame, facts = read_frame(tmp_path / 'a.png')
    np.testing.assert_array_equal(frame, colours >> 8)
    assert facts == {'rescaled': ['levels 0 to 65535']}


@pytest.mark.parametrize('suffix', ['.tif', '.png', '.webp'])
def test_what_a_stack_is(tmp_path, suffix):
    pages = noise((3, 12, 17), 256, np.uint8)
    assert is_stack(save_pages(tmp_path / f'a{suffix}', pages))
    Image.fromarray(pages[0]).save(tmp_path / f'b{suffix}')
    assert not is_stack(tmp_path / f'b{suffix}')
    (tmp_path / f'c{suffix}').write_bytes(b'no image')
    assert not is_stack(tmp_path / f'c{suffix}') and not is_stack(tmp_path / 'absent.tif')


def test_what_is_shown_without_animation_is_no_frame(tmp_path):
    pages = noise((3, 12, 17), 256, np.uint8)
    path = save_pages(tmp_path / 'a.png', pages, default_image=True)
    np.testing.assert_array_equal([frame[..., 0] for frame in open_clip(path)], pages[1:])


def test_thumbnails_are_no_frames(tmp_path):
    page, thumbnail = Image.fromarray(noise((12, 16), 256, np.uint8)), Image.new('L', (4, 3))
    path, buffer = tmp_path / 'a.tif', io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(buffer) as writer:
        for image, kind in ((page, 0), (thumbnail, 1), (page, 0)):
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            tags[254] = kind
            image.save(writer, 'TIFF', tiffinfo=tags)
            writer.newFrame()
        path.write_bytes(buffer.getvalue())
    assert [frame.shape for frame in open_clip(path)] == [(12, 16, 3)] * 2 and is_stack(path)


@pytest.mark.parametrize('suffix', ['.tif', '.png', '.webp'])
def test_no_page_is_lost_without_a_word(tmp_path, suffix):
    pages = noise((5, 12, 17), 256, np.uint8)
    whole = save_pages(tmp_path / f'a{suffix}', pages, lossless=True).read_bytes()
    path = tmp_path / f'cut{suffix}'
    for end in range(60, len(whole), len(whole) // 60):
        path.write_bytes(whole[:end])
        try:
            frames = list(open_clip(path))
        except ClipError as error:
            assert error.path == path
        else:
            np.testing.assert_array_equal([frame[..., 0] for frame in frames], pages)


def test_no_page_is_lost_where_the_directories_come_last(tmp_path):
    tifffile = pytest.importorskip('tifffile')
    tifffile.imwrite(tmp_path / 'a.tif', noise((6, 12, 17), 256, np.uint8), photometric='minisblack')
    whole = (tmp_path / 'a.tif').read_bytes()
    path = tmp_path / 'cut.tif'
    for end in range(60, len(whole) - 64, len(whole) // 60):
        path.write_bytes(whole[:end])
        with pytest.raises(ClipError, match=r'cut\.tif'):
            list(open_clip(path))


def test_pages_that_only_imagej_finds(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270] = 'ImageJ=1.53t\nimages=900\nframes=900\n'
    Image.new('L', (8, 8)).save(tmp_path / 'a.tif', tiffinfo=tags)
    with pytest.raises(ClipError, match=r'a\.tif: .*1 of 900 pages'):
        list(open_clip(tmp_path / 'a.tif'))


@pytest.mark.parametrize('kind', ['EPS', 'PPM', 'TGA'])
def test_other_formats_are_not_opened(tmp_path, kind, monkeypatch):
    Image.new('L', (8, 8)).save(tmp_path / 'a.png', kind)
    monkeypatch.setattr('subprocess.check_call', None)  # how Pillow calls Ghostscript
    with pytest.raises(ValueError, match='none of BMP, '):
        open_image(tmp_path / 'a.png')


def test_damaged_metadata_is_no_damaged_image(tmp_path):
    Image.new('L', (8, 8), 90).save(tmp_path / 'a.jpg', exif=b'Exif\0\0MM\0*nonsense' * 3)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        frame, facts = read_frame(tmp_path / 'a.jpg')
    assert frame.shape == (8, 8, 3) and facts == {}
