"""Classes are chosen on the page of a data folder, offline, and the converter takes the file that it saves."""

import io
import re
import shutil
import subprocess

import pytest
from media_clips import write_clip
from PIL import Image
from tool_module import load_tool

from uscl.clips.source_index import read_index
from uscl.data.annotations import read_annotations
from uscl.reports.overview_page import ClipCard, folder_cards, write_overview

BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))), None)
# Clicks what a test asks for, and writes the file that the page would download into the page.
HARNESS = """<script>
let saved = null;
HTMLAnchorElement.prototype.click = function () { saved = [this.download, this.href]; };
for (const [clip, label] of CLICKS) {
  document.querySelectorAll('.clip')[clip].querySelector('button[data-label="' + label + '"]').click();
}
const said = () => document.getElementById('chosen').value;
const isHeld = () => !dispatchEvent(new Event('beforeunload', {cancelable: true}));
const before = [said(), isHeld()];
document.getElementById('save').click();
const after = [said(), isHeld()];
fetch(saved[1]).then(r => r.arrayBuffer()).then(bytes => {
  const hex = [...new Uint8Array(bytes)].map(b => b.toString(16).padStart(2, '0')).join('');
  document.body.innerHTML = '<pre>' + [saved[0], ...before, ...after, hex].join('|') + '</pre>';
});
</script></body>"""


@pytest.fixture
def browse(root):
    return load_tool('tools/visualization/browse_dataset.py').main


def use_page(page, clicks):
    """The name of the download; what the page said, and whether it held one back, before and after; the content."""
    if BROWSER is None:
        pytest.skip('no Chromium to open the page with')
    text = page.read_text(encoding='utf-8').replace('</body>', HARNESS.replace('CLICKS', repr(clicks)))
    used = page.with_name('used.html')
    used.write_text(text, encoding='utf-8')
    command = [BROWSER, '--headless', '--no-sandbox', '--disable-gpu', '--host-resolver-rules=MAP * ~NOTFOUND']
    command += [f'--user-data-dir={page.parent}/profile', '--virtual-time-budget=5000', '--dump-dom', used.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre>(.*?)</pre>', done.stdout, re.S)
    assert found, done.stdout[-500:] + done.stderr[-2000:]
    name, *said, hexadecimal = found[1].split('|')
    return name, said[:2], said[2:], bytes.fromhex(hexadecimal)


def test_a_folder_is_labelled_and_converted_again(browse, tmp_path, capsys):
    for name in ('x/1.mp4', 'x/2, "left".mp4', 'y/3.mp4'):
        write_clip(tmp_path / 'src' / name, 30)
    index = 'path,label,patient_id\nx/1.mp4,,p1\n"x/2, ""left"".mp4",,p1\ny/3.mp4,odd,\n'
    (tmp_path / 'src/index.csv').write_text(index)
    convert = load_tool('tools/dataset_converters/videos_to_clusters.py').main
    command = [str(tmp_path / 'src'), '--out', str(tmp_path / 'data'), '--workers', '1']
    assert convert(command) == 0
    page = tmp_path / 'page.html'
    assert browse([str(tmp_path / 'data'), '--classes', 'benign', 'malignant', '--out', str(page)]) == 0
    clicks = [[0, 'benign'], [1, 'benign'], [1, 'malignant'], [2, 'odd'], [0, 'odd'], [0, 'benign']]
    name, before, after, content = use_page(page, clicks)
    assert name == 'labels.csv' and content.startswith('\ufeffpath,'.encode())
    assert before == ['2 of 3 clips have a class, not saved', 'true']
    assert after == ['2 of 3 clips have a class', 'false']
    (tmp_path / name).write_bytes(content)
    capsys.readouterr()
    assert convert([*command, '--index', str(tmp_path / name)]) == 0
    assert '0 converted now, 3 complete already' in capsys.readouterr().out
    entries = read_annotations(tmp_path / 'data/annotations.json')['data_list']
    found = [(entry['video_id'], entry['label'], entry['patient_id']) for entry in entries]
    assert found == [('x/1.mp4', 'benign', 'p1'), ('x/2, "left".mp4', 'malignant', 'p1'), ('y/3.mp4', None, None)]


def test_every_clip_is_saved_also_those_that_are_not_shown(tmp_path, monkeypatch):
    monkeypatch.setattr('uscl.reports.overview_page.MAX_CARDS', 2)
    names = ['=1+1.mp4', '</script><b>.mp4', 'a;b.mp4', 'é.mp4']
    cards = [ClipCard(name, 'old', '-7', 'val') for name in names]
    write_overview(tmp_path / 'page.html', cards, 'Clips', classes=['old', '"new"'])
    page = (tmp_path / 'page.html').read_text(encoding='utf-8')
    assert page.count('class="clip"') == 2 and '</script><b>' not in page and 'http' not in page
    _, _, _, content = use_page(tmp_path / 'page.html', [[1, 'old']])
    (tmp_path / 'labels.csv').write_bytes(content)
    rows, _ = read_index(tmp_path / 'labels.csv', tmp_path)
    assert [row['path'] for row in rows] == names
    assert [row['label'] for row in rows] == ['old', None, 'old', 'old']
    assert {(row['patient_id'], row['split']) for row in rows} == {("'-7", 'val')}
    assert not any(line.startswith('=') for line in content.decode('utf-8-sig').splitlines())


def test_pictures_move(tmp_path, clusters):
    (card, *_) = folder_cards(clusters, moving=True)
    with Image.open(io.BytesIO(card.picture)) as picture:
        assert picture.format == 'WEBP' and picture.n_frames == min(8, card.num_frames)
    assert folder_cards(clusters)[0].picture.startswith(b'\xff\xd8')  # without buttons, one frame


@pytest.mark.parametrize('option', ['--hash-names', '--hash-patients'])
def test_hashed_ids_are_refused(browse, tmp_path, capsys, option):
    write_clip(tmp_path / 'src/a/1.mp4', 30)
    convert = load_tool('tools/dataset_converters/videos_to_clusters.py').main
    salt = ['--salt-file', str(tmp_path / 'salt')]
    assert convert([str(tmp_path / 'src'), '--out', str(tmp_path / 'data'), '--workers', '1', option, *salt]) == 0
    assert browse([str(tmp_path / 'data')]) == 0
    assert browse([str(tmp_path / 'data'), '--classes', 'a']) == 1
    assert f'error: {tmp_path}/data has hashed ids' in capsys.readouterr().err
