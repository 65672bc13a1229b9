import csv
from pathlib import PurePosixPath

import pytest

from uscl.convert.pocus.pocus_clone import find_clips, match_row, read_table
from uscl.core.errors import SourceError

COLUMNS = ['Date added', 'Current location', 'Filename', 'Label', 'InThisRepo', 'Type', 'Probe', 'Patient ID / Name']
CONVEX, LINEAR = 'data/pocus_videos/Convex', 'pocus_videos/linear'


def row(name, label='COVID-19', patient='', location=CONVEX, probe='convex', kind='video', here='Yes'):
    return dict(zip(COLUMNS, ['1.4.20', location, name, label, here, kind, probe, patient], strict=True))


@pytest.fixture
def make_clone(tmp_path):
    """Write `data/` of a clone with a table and empty clips; gives the clone."""

    def make(rows, *clips):
        (tmp_path / 'clone/data/pocus_videos').mkdir(parents=True, exist_ok=True)
        with (tmp_path / 'clone/data/dataset_metadata.csv').open('w', encoding='utf-8', newline='') as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        for clip in clips:
            path = tmp_path / 'clone/data/pocus_videos' / clip
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / 'clone'

    return make


def found(clone, **options):
    clips = find_clips(clone, **options).sources
    return {clip.video_id.removeprefix('pocus_videos/'): (clip.label, clip.patient_id, clip.problem) for clip in clips}


def test_classes_and_patients(make_clone):
    clone = make_clone(
        [
            row('Cov-Atlas+(44)', 'COVID-19', '36'),
            row('Pneu_Avi_Video_001', 'Bacterial pneumonia', '174', 'pocus_videos/convex'),
            row('Reg_siemens_vid_3', 'Regular', '', LINEAR, 'linear'),
            row('pneu-radiopaeda', 'Bacterial pneumonia', ' 70 '),
            row('Subpleural Basal Consolidation', 'COVID-19', '20'),
        ],
        'convex/Cov-Atlas+(44).gif',
        'convex/Pneu_Avi_Video_001.MP4',
        'linear/Reg_siemens_vid_3.mpeg',
        'convex/pneu-radiopaeda.mp4',
        'convex/Subpleural Basal Consolidation.mp4',
        'convex/notes.txt',
    )
    expected = {
        'convex/Cov-Atlas+(44).gif': ('covid', 'pocus_36', None),
        'convex/Pneu_Avi_Video_001.MP4': ('pneumonia', 'pocus_174', None),
        'convex/pneu-radiopaeda.mp4': ('pneumonia', 'pocus_70', None),
        'convex/Subpleural Basal Consolidation.mp4': ('covid', 'pocus_20', None),
        'linear/Reg_siemens_vid_3.mpeg': ('regular', None, None),
    }
    assert found(clone) == found(clone / 'data') == expected
    clips, remarks = find_clips(clone).sources, find_clips(clone).warnings
    assert remarks == []
    assert all(clip.path == clone / 'data' / clip.video_id for clip in clips)


@pytest.mark.parametrize(
    ('clip', 'name'),
    [
        ('convex/Cov-Atlas-+(43).gif', 'Cov-Atlas-+(43)'),
        ('convex/cov_combatting_image4.mp4', 'Cov_combatting_Image4'),  # case
        ('convex/Cov_Butterfly_Skip Lesion.avi', 'Cov-Butterfly-Skip Lesion'),  # made by the repository's script
        ('convex/Reg_Image_182106.mp4', 'Reg_Image_182106_crop'),
        ('convex/Reg_Image_181602_crop.mp4', 'Reg_Image_181602_trimmed_crop'),
        ('linear/label_uncertain/Cov_bolzano_Linee B .mpeg', 'Cov_bolzano_Linee B'),  # blank before the suffix
        ('convex/Cov_clip.mp4', 'Cov_clip.mp4'),  # a suffix in the table
        ('linear/Reg-nephropocus.mp4', 'Reg-nephropocus'),
        ('convex/Cov_clip2.mp4', None),
        ('convex/Cov.mp4', None),
        ('other/Reg-nephropocus.mp4', None),  # two rows, and no folder that decides
        ('linear/COV_BOLZANO_LINEE B.mpeg', None),
        ('convex/Cov_picture.mp4', None),  # a still image
    ],
)
def test_names_are_matched_in_spite_of_their_spelling(clip, name, make_clone):
    names = ['Cov-Atlas-+(43)', 'Cov_combatting_Image4', 'Cov-Butterfly-Skip Lesion', 'Reg_Image_182106_crop']
    names += ['Reg_Image_181602_trimmed_crop', 'Cov_clip.mp4', 'Cov_clip3']
    rows = [row(name) for name in names] + [row('Cov_picture', kind='Image')]
    rows += [row('Reg-nephropocus', patient='73'), row('Reg-nephropocus', patient='77', probe='linear')]
    rows += [row('Cov_bolzano_Linee B', probe='linear'), row('Cov_bolzano_linee B', probe='linear')]
    table = read_table(make_clone(rows) / 'data/dataset_metadata.csv')
    matched = match_row(PurePosixPath(clip), table)
    assert (matched and matched.name) == (name and name.removesuffix('.mp4'))
    if name == 'Reg-nephropocus':
        assert matched.patient_id == 'pocus_77'


def test_prefix_is_check_and_fallback(make_clone):
    clone = make_clone(
        [row('Reg_x', 'Bacterial pneumonia', '1'), row('Cov_y', 'lung', '2'), row('Pneu_z', '', '3')],
        'convex/Reg_x.mp4',
        'convex/Cov_y.mp4',
        'convex/Pneu_z.mp4',
        'convex/Reg_new.mp4',
        'convex/Region.mp4',
    )
    clips = found(clone)
    assert clips['convex/Reg_x.mp4'][0] is None
    assert 'its name says regular, row 2 of dataset_metadata.csv says pneumonia' in clips['convex/Reg_x.mp4'][2]
    assert "row 3 of dataset_metadata.csv has the unknown label 'lung'" in clips['convex/Cov_y.mp4'][2]
    assert clips['convex/Pneu_z.mp4'] == ('pneumonia', 'pocus_3', None)
    assert clips['convex/Reg_new.mp4'] == ('regular', None, None)
    assert clips['convex/Region.mp4'][0] is None and 'a prefix Cov, Pneu, Reg or Vir' in clips['convex/Region.mp4'][2]
    (remark,) = find_clips(clone).warnings
    assert remark.startswith('clips without a unique row') and remark.endswith(
        ': pocus_videos/convex/Reg_new.mp4, pocus_videos/convex/Region.mp4'
    )


def test_viral_and_uncertain_clips(make_clone):
    clone = make_clone(
        [row('Vir_a', 'Viral pneumonia', '5'), row('Vir_or_Pneu_b', 'Viral pneumonia', '6', LINEAR, 'linear')],
        'convex/Vir_a.mp4',
        'linear/label_uncertain/Vir_or_Pneu_b.mp4',
    )
    skipped = found(clone)
    assert skipped['convex/Vir_a.mp4'][0] is None and '--viral pneumonia' in skipped['convex/Vir_a.mp4'][2]
    taken = found(clone, viral='pneumonia')
    assert taken['convex/Vir_a.mp4'] == ('pneumonia', 'pocus_5', None)
    for clips in (skipped, taken):
        label, _, problem = clips['linear/label_uncertain/Vir_or_Pneu_b.mp4']
        assert label is None and 'label_uncertain' in problem


@pytest.mark.parametrize(
    ('probe', 'kept', 'left_out'),
    [('all', 'Cov_a Cov_b Cov_c Cov_d', None), ('convex', 'Cov_a Cov_c', '2'), ('linear', 'Cov_b', '3')],
)
def test_probe(probe, kept, left_out, make_clone):
    clone = make_clone(
        [row('Cov_a', probe='linear'), row('Cov_b', probe='linear'), row('Cov_c')],
        'Convex/Cov_a.mp4',  # the folder decides
        'linear/Cov_b.mp4',
        'Cov_c.mp4',  # no folder, so the table does
        'Cov_d.mp4',  # nothing tells
    )
    found = find_clips(clone, probe=probe)
    assert ' '.join(sorted(clip.path.stem for clip in found.sources)) == kept
    counts = [remark.rpartition(': ')[2] for remark in found.warnings if 'other probes' in remark]
    assert counts == ([left_out] if left_out else [])


def test_promised_clips_that_are_absent(make_clone):
    rows = [row('Cov_here'), row('Cov_gone'), row('Cov_private', here='No'), row('Cov_unused', location='not used')]
    rows += [row('Cov_still', kind='image')]
    assert find_clips(make_clone(rows, 'convex/Cov_here.mp4'), probe='linear').warnings == [
        'clips from other probes, left out (--probe linear): 1',
        'clips that should be in pocus_videos according to dataset_metadata.csv: Cov_gone',
    ]


def test_wrong_sources(make_clone, tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(SourceError, match=r'empty holds neither pocus_videos/ with dataset_metadata\.csv nor covid_d'):
        find_clips(tmp_path / 'empty')
    clone = make_clone([row('Cov_a')])
    with pytest.raises(SourceError, match='pocus_videos holds no clip') as caught:
        find_clips(clone)
    assert caught.value.exit_code == 1
    make_clone([], 'convex/Cov_a.mp4')
    table = clone / 'data/dataset_metadata.csv'
    table.write_text('Filename,Type\n')
    with pytest.raises(SourceError, match=r'dataset_metadata\.csv lacks the column Label, Patient ID / Name, Probe'):
        find_clips(clone)
    table.write_bytes(b'\xff\xfe\0')
    with pytest.raises(SourceError, match=r'dataset_metadata\.csv is not a CSV file'):
        find_clips(clone)
    table.unlink()
    with pytest.raises(SourceError, match=r'holds neither'):
        find_clips(clone)
