import copy
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uscl.data.annotations import read_annotations, write_annotations

SETTINGS = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXTS = ('patient_id', 'label', 'split', 'source', 'sha256', 'signature')
FACTS = ('fps', 'times', 'assumed', 'turned', 'rescaled')
TEXT = st.characters(exclude_categories=['Cs', 'Cc'])  # no control characters
NAMES = st.text(
    st.characters(exclude_categories=['Cs', 'Cc'], exclude_characters='/\\:'), min_size=1, max_size=6
).filter(lambda name: name not in ('.', '..'))


@st.composite
def data_sets(draw):
    classes = draw(st.lists(NAMES, max_size=3, unique=True))
    nullable = st.none() | st.text(TEXT, max_size=5)
    entries = [
        {
            'video_id': video_id,
            'patient_id': draw(nullable),
            'label': draw(st.sampled_from([None, *classes])),
            'split': draw(nullable),
            'num_frames': draw(st.integers(1, 99)),
            'source': draw(nullable),
            'sha256': draw(nullable),
            'signature': draw(nullable),
            **dict.fromkeys(FACTS),
        }
        for video_id in draw(st.lists(st.text(TEXT, min_size=1, max_size=8), max_size=4, unique=True))
    ]
    return classes, entries


@SETTINGS
@given(data_sets())
def test_any_valid_entries_read_back_equal(tmp_path, data_set):
    classes, entries = data_set
    path = tmp_path / 'annotations.json'
    write_annotations(path, entries, classes, fps=3.0)
    first = path.read_bytes()
    annotations = read_annotations(path)
    assert annotations['data_list'] == entries
    assert annotations['metainfo'] == dict(dataset_type='VideoClusters', format_version=2, classes=classes, fps=3.0)
    write_annotations(path, annotations['data_list'], classes, fps=3.0)
    assert path.read_bytes() == first


def nodes(value, place=()):
    """Places of everything in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place] + [found for key, part in items for found in nodes(part, (*place, key))]


def is_valid(document):
    """The format's definition, written once more: what should be read and what should not."""
    try:
        metainfo, entries = document['metainfo'], document['data_list']
        assert metainfo['dataset_type'] == 'VideoClusters' and metainfo['format_version'] == 2
        assert type(metainfo['classes']) is list and type(entries) is list
        for name in metainfo['classes']:
            assert type(name) is str
        ids = []
        for entry in entries:
            assert type(entry) is dict and type(entry['video_id']) is str and entry['video_id'] != ''
            ids.append(entry['video_id'])
            assert all(entry.get(key) is None or type(entry[key]) is str for key in TEXTS)
            assert entry.get('label') is None or entry['label'] in metainfo['classes']
            assert type(entry['num_frames']) is int and entry['num_frames'] > 0
        assert len(set(ids)) == len(ids)
    except (AssertionError, KeyError, TypeError, AttributeError):
        return False
    return True


ODD = st.sampled_from([None, True, 0, 1, 2, 1e400, '', 'a', '..', '/x.png', '../x.png', 'a\\..\\..\\b', 'C:/x', [], {}])


@settings(SETTINGS, max_examples=200)
@given(data_sets().filter(lambda data_set: data_set[1]), st.data())
def test_any_single_change_is_refused_or_read_as_it_stands(tmp_path, data_set, data):
    path = tmp_path / 'annotations.json'
    metainfo = {'dataset_type': 'VideoClusters', 'format_version': 2, 'classes': data_set[0]}
    changed = copy.deepcopy({'metainfo': metainfo, 'data_list': data_set[1]})
    place = data.draw(st.sampled_from(nodes(changed)[1:]))
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    change = data.draw(st.sampled_from(['replace', 'delete', 'wrap', 'double']))
    if change == 'replace':
        holder[place[-1]] = data.draw(ODD)
    elif change == 'delete':
        del holder[place[-1]]
    elif change == 'wrap':
        holder[place[-1]] = [holder[place[-1]]]
    elif isinstance(holder, list):
        holder.append(copy.deepcopy(holder[place[-1]]))
    else:
        holder['another'] = holder[place[-1]]
    path.write_text(json.dumps(changed), encoding='utf-8')
    try:
        found = read_annotations(path)
    except ValueError as error:
        assert str(path) in str(error)
        assert not is_valid(changed)
    else:
        assert is_valid(changed)
        assert found['metainfo'] == changed['metainfo']
        assert [{**dict.fromkeys((*TEXTS, *FACTS)), **entry} for entry in changed['data_list']] == found['data_list']
