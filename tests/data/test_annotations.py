import json

import pytest

from uscl.data.annotations import (
    DATASET_TYPE,
    FORMAT_VERSION,
    check_annotations,
    frame_rate,
    read_annotations,
    write_annotations,
)

FACTS = ('source', 'sha256', 'signature', 'fps', 'times', 'assumed', 'turned', 'rescaled')
ENTRY = dict(video_id='a/x.mp4', patient_id='p', label='a', split='train', num_frames=2, **dict.fromkeys(FACTS))


def test_round_trip_fills_missing_values_with_null(tmp_path):
    path = tmp_path / 'annotations.json'
    write_annotations(path, [ENTRY, dict(video_id='y', num_frames=1)], ['a', 'b'], settings={'fps': 3.0})
    annotations = read_annotations(path)
    kind = dict(dataset_type='VideoClusters', format_version=2)
    assert annotations['metainfo'] == dict(kind, classes=['a', 'b'], settings={'fps': 3.0})
    assert annotations['data_list'] == [
        ENTRY,
        dict(ENTRY, video_id='y', patient_id=None, label=None, split=None, num_frames=1),
    ]
    assert [p.name for p in tmp_path.iterdir()] == ['annotations.json']  # no temporary file stays


def test_a_refused_write_keeps_the_old_file(tmp_path):
    path = tmp_path / 'annotations.json'
    write_annotations(path, [ENTRY], ['a'])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r'video_id'):
        write_annotations(path, [ENTRY, ENTRY], ['a'])
    assert path.read_bytes() == before


def test_missing_file_names_the_converter(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere/annotations.json .*uscl convert clips'):
        read_annotations(tmp_path / 'nowhere' / 'annotations.json')


def _broken(change):
    annotations = dict(
        metainfo=dict(dataset_type='VideoClusters', format_version=2, classes=['a']), data_list=[dict(ENTRY)]
    )
    change(annotations)
    return annotations


BREAKS = {
    'another version': (
        lambda a: a['metainfo'].update(format_version=1),
        'version 1, .*version 2',
    ),
    'no version': (lambda a: a['metainfo'].pop('format_version'), 'format version None'),
    'COCO file': (lambda a: (a.clear(), a.update(images=[], annotations=[])), 'metainfo.dataset_type'),
    'data_list a dict': (lambda a: a.update(data_list={}), 'data_list'),
    'no video_id': (lambda a: a['data_list'][0].pop('video_id'), r'data_list\[0\] .*video_id'),
    'unknown label': (lambda a: a['data_list'][0].update(label='z'), "label 'z' .*metainfo.classes"),
    'label a number': (lambda a: a['data_list'][0].update(label=3), 'label .*3'),
    'no frames': (lambda a: a['data_list'][0].update(num_frames=0), "video 'a/x.mp4'.*num_frames .*0"),
    'frames a truth': (lambda a: a['data_list'][0].update(num_frames=True), 'num_frames .*True'),
    'digest a number': (lambda a: a['data_list'][0].update(sha256=3), 'sha256 .*3'),
}


@pytest.mark.parametrize('name', BREAKS)
def test_broken_file_is_named_with_the_fault(tmp_path, name):
    change, message = BREAKS[name]
    path = tmp_path / 'annotations.json'
    path.write_text(json.dumps(_broken(change)))
    with pytest.raises(ValueError, match=message) as error:
        read_annotations(path)
    assert str(path) in str(error.value)


def test_truncated_json(tmp_path):
    path = tmp_path / 'annotations.json'
    path.write_text('{"metainfo": {')
    with pytest.raises(ValueError, match=r'JSON'):
        read_annotations(path)


def test_thousands_of_classes_are_gone_through_once():
    passes = []

    class Classes(list):
        def __iter__(self):
            passes.append(1)
            return super().__iter__()

    names = [f'c{k}' for k in range(200)]
    content = {
        'metainfo': {'dataset_type': DATASET_TYPE, 'format_version': FORMAT_VERSION, 'classes': Classes(names)},
        'data_list': [{'video_id': name, 'label': name, 'num_frames': 1} for name in names],
    }
    check_annotations(content, 'annotations.json')
    assert len(passes) < 5


@pytest.mark.parametrize(
    ('fps', 'times', 'rate'),
    [(3.0, None, 3.0), (3.0, [0, 1], 3.0), (None, [2.0, 2.5, 4.0], 1.0), (None, None, None), (None, [1.0], None)],
)
def test_rate_of_a_video(fps, times, rate):
    assert frame_rate(dict(ENTRY, fps=fps, times=times)) == rate
