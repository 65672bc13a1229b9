"""The page of a data folder: every clip with its picture, its facts, and what the filters go by."""

import base64
import re

import cv2
import numpy as np
import pytest
from PIL import Image
from tool_module import load_tool

from uscl.data.video_folder import VideoFolder
from uscl.reports.overview_page import ClipCard, folder_cards, thumbnail, write_overview


def test_every_clip_is_shown_by_its_middle_frame(clusters):
    videos = VideoFolder(clusters)
    cards = folder_cards(clusters)
    assert [card.video_id for card in cards] == [entry['video_id'] for entry in videos.entries]
    for k, card in enumerate(cards):
        (expected,) = videos.load(k, [videos.entries[k]['num_frames'] // 2])
        shown = cv2.imdecode(np.frombuffer(card.picture, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert shown.shape == expected.shape  # smaller than the limit, so as they are
        assert np.abs(shown.astype(float) - expected).mean() < 3  # JPEG
        assert card.size == (expected.shape[1], expected.shape[0])


def test_large_frames_are_shrunk_and_keep_their_shape():
    frame = np.zeros((300, 800, 3), np.uint8)
    frame[:, 400:] = (0, 0, 255)  # blue, green, red
    shown = cv2.imdecode(np.frombuffer(thumbnail(frame), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (75, 200, 3)
    assert shown[40, 150, 2] > 240 and shown[40, 150, 0] < 15 and shown[40, 50].max() < 15


def test_the_page_counts_and_filters(tmp_path):
    cards = [
        ClipCard('a/1.mp4', 'a', 'p1', 'train', 5, (64, 48), 25.0, 'gray', ['rotated 90°']),
        ClipCard('a/2.mp4', 'a', 'p1', 'val', 7, (64, 48), 10.0, 'gray'),
        ClipCard('b/3.mp4', 'b', None, 'val', 9, (32, 48), None, 'color', ['rotated 90°', 'frame rate assumed']),
        ClipCard('4.mp4'),
    ]
    write_overview(tmp_path / 'page.html', cards, 'Clips', ['One sentence.'], ['8 files ignored: 3 .docx'])
    page = (tmp_path / 'page.html').read_text(encoding='utf-8')
    rows = [re.findall(r'<td>(.*?)</td>', row) for row in re.findall(r'<tr>(.*?)</tr>', page)]
    assert ['a', '2', '12', '1', '0', 'train 1, val 1'] in rows
    assert ['b', '1', '9', '–', '1', 'val 1'] in rows
    assert ['(unlabelled)', '1', '–', '–', '1', '–'] in rows
    assert ['Rotated 90°', '2 clips'] in rows and ['Frame rate assumed', '1 clip'] in rows
    assert ['Frames per second in the source', '10 to 25, median 17.5'] in rows
    assert '2 clips with unknown patient' in page and '8 files ignored: 3 .docx' in page and 'One sentence.' in page
    shown = re.findall(r'data-class="(.*?)" data-patient="(.*?)"\s+data-split="(.*?)"', page)
    assert shown[0] == ('a', 'p1', 'train') and shown[3] == ('(unlabelled)', '(unknown)', '(none)')
    for name, choices in (('class', 4), ('patient', 3), ('split', 4)):  # 'all' is one of them
        (select,) = re.findall(rf'<select data-key="{name}">(.*?)</select>', page, re.S)
        assert select.count('<option') == choices


def test_names_are_escaped_and_nothing_is_loaded(tmp_path):
    card = ClipCard('<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "' onclick='x")
    write_overview(tmp_path / 'page.html', [card], '<b>title</b>')
    page = (tmp_path / 'page.html').read_text(encoding='utf-8')
    assert page.count('<script>') == 1 and '<img src=x' not in page and '<b>' not in page
    assert not re.search(r'(src|href)="(?!data:)', page) and 'http' not in page


def test_many_clips_are_counted_and_not_all_shown(tmp_path, monkeypatch):
    monkeypatch.setattr('uscl.reports.overview_page.MAX_CARDS', 3)
    write_overview(tmp_path / 'page.html', [ClipCard(f'{k}.mp4', 'a') for k in range(8)], 'Clips')
    page = (tmp_path / 'page.html').read_text(encoding='utf-8')
    assert page.count('class="clip"') == 3 and '5 more clips are not shown' in page


def test_the_command_writes_the_page_into_the_folder(patients, tmp_path, capsys):
    out = tmp_path / 'page.html'
    assert load_tool('tools/visualization/browse_dataset.py').main([str(patients), '--out', str(out)]) == 0
    page = out.read_text(encoding='utf-8')
    pictures = re.findall(r'data:image/jpeg;base64,([\w+/=]+)', page)
    assert len(pictures) == 18 and all(base64.b64decode(one)[:2] == b'\xff\xd8' for one in pictures)
    assert str(out) in capsys.readouterr().out


@pytest.mark.parametrize('damage', ['annotations.json', 'store'])
def test_a_folder_that_is_no_data_folder_is_named(tmp_path, capsys, damage):
    assert load_tool('tools/visualization/browse_dataset.py').main([str(tmp_path / damage)]) == 1
    assert str(tmp_path / damage) in capsys.readouterr().err


def test_a_dry_run_and_a_conversion_write_the_page(tmp_path, capsys):
    for name, grey in (('a/x', 90), ('b/y', 200)):
        (tmp_path / 'src' / name).mkdir(parents=True)
        for k in range(3):
            Image.new('RGB', (60, 40), (grey, 10, 10)).save(tmp_path / 'src' / name / f'{k}.png')
    (tmp_path / 'src/notes.docx').write_text('x')
    (tmp_path / 'src/a/broken.mp4').write_bytes(b'x')
    convert = load_tool('tools/dataset_converters/videos_to_clusters.py').main
    pages = []
    for extra in (['--dry-run'], []):
        assert convert([str(tmp_path / 'src'), '--out', str(tmp_path / 'out'), '--workers', '1', *extra]) == 0
        assert str(tmp_path / 'out/overview.html') in capsys.readouterr().out
        page = (tmp_path / 'out/overview.html').read_text(encoding='utf-8')
        assert 'a/broken.mp4: ' in page and '1 .docx' in page and '2 clips' in page
        pages.append(
            [
                cv2.imdecode(np.frombuffer(base64.b64decode(one), np.uint8), cv2.IMREAD_COLOR)[20, 30]
                for one in re.findall(r'data:image/jpeg;base64,([\w+/=]+)', page)
            ]
        )
    for dry, stored in zip(*pages, strict=True):
        assert np.abs(dry.astype(int) - stored).max() < 4 and dry[2] > dry[0]  # red as in the source
