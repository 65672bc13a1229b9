import numpy as np
import pytest
from PIL import Image
from tool_module import load_tool

from uscl.data.annotations import read_annotations
from uscl.data.video_folder import VideoFolder


@pytest.fixture(scope='module')
def us4(root):
    return load_tool('tools/dataset_converters/us4.py')


def make_videos(root, *names, num_frames=2):
    for name in names:
        (root / name).mkdir(parents=True)
        for i in range(num_frames):
            Image.new('L', (12, 10), 20 * i).save(root / name / f'{i + 9}.jpg')
    return root


def convert(us4, source, out, *options):
    code = us4.main([str(source), '--out', str(out), '--workers', '1', *options])
    return code, read_annotations(out / 'annotations.json')


def test_prefix_of_the_folder_is_the_label(us4, tmp_path):
    source = make_videos(tmp_path / 'src', 'clust/deep/Rb1_a', 'liver/F0_12', 'Cov-3', 'Other/Oth1')
    make_videos(source, 'covid/Reg', 'Rb1/xyz')  # the folder's own name decides, not its parents'
    (source / 'Cov-3/clip.mp4').touch()
    code, annotations = convert(us4, source, tmp_path / 'out')
    assert code == 0
    assert [(entry['video_id'], entry['label']) for entry in annotations['data_list']] == [
        ('clust/deep/Rb1_a', 'Rb1'),
        ('Cov-3', 'Cov'),
        ('covid/Reg', 'Reg'),
        ('liver/F0_12', 'F0_'),
        ('Other/Oth1', 'Oth'),
    ]
    assert all(entry['patient_id'] is None and entry['num_frames'] == 2 for entry in annotations['data_list'])
    skipped = (tmp_path / 'out/skipped.csv').read_text()
    assert 'Rb1/xyz,' in skipped and 'starts with none of Rb1' in skipped and skipped.count('\n') == 3
    assert 'Cov-3/clip.mp4,"ignored: clip, not a folder of images"' in skipped


def test_classes_are_the_sixteen_prefixes(us4, tmp_path):
    _, annotations = convert(us4, make_videos(tmp_path / 'src', 'Reg1'), tmp_path / 'out')
    assert ' '.join(annotations['metainfo']['classes']) == (
        'Rb1 Rb2 Rb3 Rb4 Rb5 F0_ F1_ F2_ F3_ F4_ Reg Cov Ali Bli Ple Oth'
    )
    assert annotations['metainfo']['settings']['fps'] is None


def test_frames_are_kept_whole_and_in_natural_order(us4, tmp_path):
    source = make_videos(tmp_path / 'src', 'Reg1', num_frames=5)  # 9.jpg … 13.jpg
    convert(us4, source, tmp_path / 'out', '--size', '5', '--color', 'gray')
    images = VideoFolder(tmp_path / 'out')[0]['frames']
    assert [round(np.mean(image) / 20) for image in images] == [0, 1, 2, 3, 4]
    assert images.shape == (5, 5, 6)


def test_split_is_stratified_and_seeded(us4, tmp_path):
    names = [f'{prefix}{i}' for prefix, n in (('Rb1', 10), ('F3_', 5), ('Ali', 2), ('Ple', 1)) for i in range(n)]
    source = make_videos(tmp_path / 'src', *names, num_frames=1)

    def split(*options):
        _, annotations = convert(us4, source, tmp_path / 'out', *options)
        return {entry['video_id']: entry['split'] for entry in annotations['data_list']}

    first = split()
    in_val = [video_id[:3] for video_id, part in first.items() if part == 'val']
    assert sorted(in_val) == ['Ali', 'F3_', 'Rb1', 'Rb1']
    assert set(first.values()) == {'train', 'val'}
    assert split('--seed', '0') == first != split('--seed', '1')
    assert set(split('--val-fraction', '0').values()) == {'train'}
    assert list(split('--val-fraction', '0.5').values()).count('val') == 5 + 2 + 1


@pytest.mark.parametrize('value', ['1', '-0.1', 'nan', 'x'])
def test_fraction_out_of_range(us4, tmp_path, value, capsys):
    with pytest.raises(SystemExit) as caught:
        us4.main([str(tmp_path), '--out', str(tmp_path / 'out'), f'--val-fraction={value}'])
    assert caught.value.code == 2
    assert '--val-fraction' in capsys.readouterr().err


@pytest.mark.parametrize(('exists', 'code', 'message'), [(False, 2, 'does not exist'), (True, 1, 'no image folder')])
def test_no_source(us4, tmp_path, capsys, exists, code, message):
    if exists:
        (tmp_path / 'src/Reg1').mkdir(parents=True)
        (tmp_path / 'src/Reg1/clip.mp4').touch()
    assert us4.main([str(tmp_path / 'src'), '--out', str(tmp_path / 'out')]) == code
    error = capsys.readouterr().err
    assert error.startswith('error: ') and message in error and error.count('\n') == 1


def test_damaged_image_loses_one_video(us4, tmp_path):
    source = make_videos(tmp_path / 'src', 'Reg1', 'Reg2')
    (source / 'Reg2/9.jpg').write_bytes((source / 'Reg2/9.jpg').read_bytes()[:300])
    code, annotations = convert(us4, source, tmp_path / 'out')
    assert code == 0 and [entry['video_id'] for entry in annotations['data_list']] == ['Reg1']
    assert 'Reg2,image 9.jpg cannot be read' in (tmp_path / 'out/skipped.csv').read_text()


def test_dry_run_writes_the_overview_only(us4, tmp_path, capsys):
    source = make_videos(tmp_path / 'src', 'Reg1')
    assert us4.main([str(source), '--out', str(tmp_path / 'out'), '--workers', '1', '--dry-run']) == 0
    assert '1 can be read' in capsys.readouterr().out
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['overview.html']
