"""A page on the contents of a data folder, present or planned: counts, facts about the clips, and a contact sheet."""

import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from PIL import Image

from uscl.clips.source_findings import SourceFindings
from uscl.convert.videos.conversion_report import list_notes
from uscl.convert.videos.outcome import Outcome
from uscl.convert.videos.video_conversion import OVERVIEW
from uscl.core.escaping import for_spreadsheet
from uscl.data.annotations import read_annotations
from uscl.data.frame_shards import FrameShards
from uscl.data.frame_store import StoredVideo, find_stored
from uscl.data.patient_division import unknown_patients

from .html_page import count, write_page

MAX_CARDS = 2000  # clips on the contact sheet, about 6 kB each
_SIDE = 200  # largest side of a picture, in pixels
_MOVING = 8  # frames of a moving picture, about 30 kB
_SHOWN = 250  # milliseconds of each


@dataclass(frozen=True)
class ClipCard:
    """A clip on the contact sheet.

    Attributes:
        video_id: Id of the clip.
        label: Class name; None if unlabelled.
        patient_id: None if unknown.
        split: None if the clip has no split.
        num_frames: Number of stored frames; None if not counted yet.
        size: Width and height of a frame, in pixels.
        frame_rate: Frames per second of the source; None if unknown.
        stored_as: 'gray' or 'color'; None if not stored yet.
        notes: What was assumed, rotated or rescaled.
        picture: JPEG of one frame, or WebP of several; None if there is none.
    """

    video_id: str
    label: str | None = None
    patient_id: str | None = None
    split: str | None = None
    num_frames: int | None = None
    size: tuple[int, int] | None = None
    frame_rate: float | None = None
    stored_as: str | None = None
    notes: Sequence[str] = ()
    picture: bytes | None = None


def conversion_overview(out: str | Path, found: SourceFindings) -> Callable[[Sequence[Outcome]], None]:
    """A function that writes ``OUT/overview.html`` at the end of a conversion or dry run, and prints its path.

    Args:
        out: The data folder.
        found: What was found in the source.
    """

    def write(outcomes: Sequence[Outcome]) -> None:
        path = Path(out).expanduser() / OVERVIEW
        looked_at = [_looked_at(outcome) for outcome in outcomes if outcome.first_frame is not None]
        notes = [*found.warnings, *unknown_patients([o.source.patient_id for o in outcomes if o.reason is None])]
        ignored = [f'{outcome.source.video_id}: {outcome.reason}' for outcome in outcomes if outcome.reason is not None]
        write_overview(
            path,
            looked_at or folder_cards(out),
            f'Clips of {path.parent.resolve().name}',
            [*notes, *list_notes(outcomes)],
            [*ignored, *filter(None, [found.describe_ignored()])],
        )
        print(f'{path} shows all clips: it contains patient images, treat it like the data.')

    return write


def _looked_at(outcome: Outcome) -> ClipCard:
    source, frame = outcome.source, outcome.first_frame
    assert frame is not None
    return ClipCard(
        video_id=source.video_id,
        label=source.label,
        patient_id=source.patient_id,
        split=source.split,
        size=(frame.shape[1], frame.shape[0]),
        picture=thumbnail(frame[..., ::-1]),
    )


def folder_cards(data_root: str | Path, moving: bool = False) -> list[ClipCard]:
    """The clips of a data folder, each with its middle frame.

    Args:
        data_root: The folder.
        moving: Show frames from all of the clip, one after the other.

    Raises:
        FileNotFoundError: The annotation or the store is missing.
        ValueError: The annotation or the store is damaged or has another version.
    """
    root = Path(data_root).expanduser()
    entries = read_annotations(root / 'annotations.json')['data_list']
    shards, stored = find_stored(root, entries)
    cards: list[ClipCard] = []
    for entry in entries:
        video = stored[entry['video_id']]
        height, width = video.shapes[0][1:3]
        picture = None
        if len(cards) < MAX_CARDS:
            picture = (
                _moving_picture(shards, video) if moving else thumbnail(_frame(shards, video, video.num_frames // 2))
            )
        notes = [f'{name} assumed' for name in entry['assumed'] or []]
        notes += [entry['turned']] * bool(entry['turned']) + list(entry['rescaled'] or [])
        known: dict[str, Any] = {key: entry[key] for key in ('video_id', 'label', 'patient_id', 'split', 'num_frames')}
        known |= {key: video.facts.get(key) for key in ('frame_rate', 'stored_as')}
        cards.append(ClipCard(**known, size=(width, height), notes=notes, picture=picture))
    return cards


def write_overview(
    path: str | Path,
    cards: Sequence[ClipCard],
    title: str,
    notes: Sequence[str] = (),
    ignored: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> None:
    """Write the page.

    With ``classes``, it has a button for each class at each clip, and saves an index of all clips, those beyond the
    first 2,000 with the classes that they have.

    Args:
        path: Output file.
        cards: The clips; all are counted, the first 2,000 are shown.
        title: Title of the page.
        notes: Notes of the converter, one sentence each.
        ignored: What was skipped or ignored, one line each.
        classes: Classes to choose from; none, and the page only shows.
    """
    frames = [card.num_frames for card in cards]
    patients = {card.patient_id for card in cards} - {None}
    unknown = sum(card.patient_id is None for card in cards)
    write_page(
        path,
        'overview.html',
        title=title,
        subtitle='',
        counts=[
            ('clips', '', len(cards), ''),
            ('frames', '', '–' if None in frames else sum(n or 0 for n in frames), ''),
            ('patients', '', len(patients) or '–', f'{count(unknown, "clip")} with unknown patient' if unknown else ''),
            ('classes', '', len({card.label for card in cards} - {None}), ''),
        ],
        notes=notes,
        by_class=_by_class(cards),
        found=_found(cards),
        ignored=ignored,
        cards=cards[:MAX_CARDS],
        num_more=max(len(cards) - MAX_CARDS, 0),
        classes=list(classes),
        index=[_index_row(card) for card in (cards if classes else ())],
        filters={
            'class': _choices(card.label or '(unlabelled)' for card in cards),
            'patient': _choices(card.patient_id or '(unknown)' for card in cards),
            'split': _choices(card.split or '(none)' for card in cards),
        },
    )


def thumbnail(frame: np.ndarray) -> bytes:
    """A small JPEG of a frame, (H, W) grey or (H, W, 3) BGR, uint8."""
    scale = min(1.0, _SIDE / max(frame.shape[:2]))
    size = [max(1, round(scale * side)) for side in (frame.shape[1], frame.shape[0])]
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame
    return cv2.imencode('.jpg', small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def _frame(shards: FrameShards, video: StoredVideo, number: int) -> np.ndarray:
    (frame,) = shards.frames(video.places(number, 1))
    return np.asarray(frame)


def _moving_picture(shards: FrameShards, video: StoredVideo) -> bytes:
    """A small WebP of frames that are evenly spaced."""
    chosen = np.linspace(0, video.num_frames - 1, min(_MOVING, video.num_frames)).round().astype(int)
    first, *others = [
        Image.open(io.BytesIO(thumbnail(_frame(shards, video, int(k)))), formats=('JPEG',)) for k in chosen
    ]
    buffer = io.BytesIO()
    first.save(buffer, 'WEBP', save_all=True, append_images=others, duration=_SHOWN, loop=0, quality=70)
    return buffer.getvalue()


def _index_row(card: ClipCard) -> list[str]:
    """A row of an index that means the same to a spreadsheet and to the converter."""
    path = card.video_id
    facts = [for_spreadsheet(text or '') for text in (card.label, card.patient_id, card.split)]
    return [path if for_spreadsheet(path) == path else f'./{path}', *facts]


def _by_class(cards: Sequence[ClipCard]) -> list[tuple]:
    rows = []
    for label in sorted({card.label for card in cards}, key=lambda label: (label is None, label)):
        own = [card for card in cards if card.label == label]
        splits = Counter(card.split for card in own if card.split is not None)
        rows.append(
            (
                '(unlabelled)' if label is None else label,
                len(own),
                sum(card.num_frames or 0 for card in own) or '–',
                len({card.patient_id for card in own} - {None}) or '–',
                sum(card.patient_id is None for card in own),
                ', '.join(f'{split} {n}' for split, n in sorted(splits.items())) or '–',
            )
        )
    return rows


def _found(cards: Sequence[ClipCard]) -> list[tuple[str, str]]:
    """Sizes, frame rates and kinds of the clips, and the number of clips with each note."""
    rows = []
    sizes = Counter(card.size for card in cards if card.size).most_common()
    if sizes:
        (width, height), most = sizes[0]
        others = [size for size, _ in sizes[1:]]
        text = f'{width} × {height}: {count(most, "clip")}'
        if others:
            (low, high), (last, top) = min(others), max(others)
            text += f'; {len(others)} other sizes, {low} × {high} to {last} × {top}'
        rows.append(('Frame size, width × height in pixels', text))
    rates = sorted(card.frame_rate for card in cards if card.frame_rate)
    if rates:
        rows.append(
            ('Frames per second in the source', f'{rates[0]:.3g} to {rates[-1]:.3g}, median {median(rates):.3g}')
        )
    kinds = Counter(card.stored_as for card in cards if card.stored_as)
    rows += [(f'Stored in {kind}', count(n, 'clip')) for kind, n in kinds.items()]
    notes = Counter(note for card in cards for note in card.notes)
    return rows + [(note[:1].upper() + note[1:], count(n, 'clip')) for note, n in notes.most_common(30)]


def _choices(values: Iterable[Any]) -> list[tuple[str, int]]:
    return sorted(Counter(values).items())
