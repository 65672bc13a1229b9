import base64
import re
from io import StringIO

import cv2
import numpy as np
import pytest
from check_data import texture, write_data
from rich.console import Console

from uscl.checks.check import check_datasets
from uscl.checks.clip_facts import read_clips
from uscl.reports.check_report import MAX_LINES, print_result, side_by_side, write_check_page


def sentences(result):
    console = Console(file=StringIO(), width=80, soft_wrap=True, highlight=False)
    print_result(result, console)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize('mirrored', [False, True])
def test_the_frames_beside_each_other_are_the_matching_ones(mirrored, tmp_path):
    """A long clip, and its frames 2 to 5 at half the size, perhaps mirrored: of these, 1 and 3 are shown."""
    frames = texture(0, 8)
    short = [cv2.resize(f[:, :: -1 if mirrored else 1], (60, 48), interpolation=cv2.INTER_AREA) for f in frames[2:6]]
    clips = list(read_clips(write_data(tmp_path, {'long': (frames, 'a'), 'short': (short, 'a')})))
    shown = side_by_side(*clips, mirrored)
    end = ', mirrored' if mirrored else ''
    assert [text for _, text in shown] == [f'frame 3 of 8; frame 1 of 4{end}', f'frame 5 of 8; frame 3 of 4{end}']
    for (jpeg, _), number in zip(shown, (3, 5), strict=True):
        both = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert both.shape == (48, 60 + 6 + 60)
        expected = cv2.resize(frames[number], (60, 48), interpolation=cv2.INTER_AREA).astype(float)
        assert abs(both[:, :60] - expected).mean() < 4 and abs(both[:, 66:] - expected).mean() < 4


@pytest.mark.parametrize('number', [1, 2, MAX_LINES + 3])
def test_equal_findings_are_one_row_that_unfolds(number, tmp_path):
    clips = {f'<{k}>': (texture(k, 2), 'a', 'p1') for k in range(number)} | {'whole': (texture(99, 4), 'a', 'p2')}
    result = check_datasets([write_data(tmp_path / 'data', clips)])
    assert result.count('warning') == number
    write_check_page(result, tmp_path / 'check.html')
    page = (tmp_path / 'check.html').read_text()
    rows = [row for row in page.split('<div class="finding">')[1:] if ': few frames<' in row]
    lines = sentences(result)
    said = [line for line in lines if 'too short' in line]
    assert len(rows) == len(said) == 1 and said[0].startswith('warning: ')
    if number == 1:
        assert '&lt;0&gt; (patient p1): too short' in rows[0] and '<details>' not in rows[0] and '<0>' in said[0]
        return
    items = re.findall(r'<li>(.*?)</li>', rows[0])
    assert items == [f'&lt;{k}&gt; (patient p1), 2 frames' for k in range(number)]
    assert f'<summary>all {number}</summary>' in rows[0] and f'{number} × too short' in said[0]
    at = lines.index(said[0]) + 1
    listed = [f'  <{k}> (patient p1), 2 frames' for k in range(min(number, MAX_LINES))]
    assert lines[at : at + len(listed)] == listed
    assert any('and 3 more' in line for line in lines) == (number > MAX_LINES)


def test_the_folder_is_named_where_there_are_several(tmp_path):
    first = write_data(tmp_path / 'one', {'v': (texture(0, 2), 'a', 'p1')})
    second = write_data(tmp_path / 'two', {'w': (texture(1, 2), 'a', 'p2')})
    for folders in ([first], [first, second]):
        write_check_page(check_datasets(folders), tmp_path / 'check.html')
        findings = (tmp_path / 'check.html').read_text().split('<h2>Findings', 1)[1]
        assert (str(first) in findings) == (len(folders) == 2)


def test_pictures_are_embedded(tmp_path):
    clips = {'v': (texture(0, 4), 'a', 'p1'), 'copy': (texture(0, 4), 'a', 'p2')}
    write_check_page(check_datasets([write_data(tmp_path / 'data', clips)]), tmp_path / 'check.html')
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', (tmp_path / 'check.html').read_text())
    assert len(found) == 2 and all(base64.b64decode(one).startswith(b'\xff\xd8') for one in found)
