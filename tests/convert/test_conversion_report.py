from pathlib import Path

from uscl.clips.discovery import VideoSource
from uscl.convert.videos.conversion_report import list_notes
from uscl.convert.videos.outcome import Outcome


def outcome(name, **facts):
    return Outcome(VideoSource(name, Path(name)), 3, facts)


def test_what_was_changed_or_assumed_is_said_once_for_all_clips():
    square, unknown = ['pixel aspect 8:9'], {'assumed': ['frame rate', 'colour space']}
    short = {'short_clip_fps': 11.0, 'settings': {'min_frames': 8}}
    outcomes = [
        outcome('a', turned='rotated 90°', rescaled=square),
        outcome('b', turned='mirrored', rescaled=['grey levels 0 to 4095', 'grey levels 0 to 255']),
        *(outcome(f'c{k}', **unknown) for k in range(3)),
        *(outcome(f'd{k}', **short) for k in range(5)),
        outcome('e', settings={'min_frames': 8}),
        Outcome(VideoSource('f', Path('f')), reason='damaged'),
    ]
    assert list_notes(outcomes) == [
        '2 clips turned: a, b',
        '1 clip with pixels that are not square: a',
        '1 clip rescaled: b',
        '3 clips with frame rate assumed (25): c0, c1, c2',
        '3 clips with colour space assumed: c0, c1, c2',
        '5 clips too short for the rate, at least 8 frames taken: d0, d1, d2 and 2 more',
    ]


def test_nothing_is_said_of_nothing():
    assert list_notes([outcome('a', frames_decoded=3, frame_rate=25.0)]) == []
