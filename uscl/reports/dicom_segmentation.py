"""What a detector finds in a DICOM clip as a DICOM segmentation (DICOM SEG)."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uscl.clips.dicom_header import frame_count
from uscl.core.errors import ClipError
from uscl.core.plurals import counted
from uscl.version import __version__

from .dicom_result import MAKER, NOTICE, UsedModel, as_label, instance_facts, private_code, save_result

if TYPE_CHECKING:
    from pydicom import Dataset


def write_segmentation(
    row: Mapping[str, Any], masks: Sequence[dict | None], classes: Sequence[str], model: UsedModel, folder: str | Path
) -> Path:
    """Write a segmentation: a segment for every class, with the masks of all findings of the class together.

    Only frames with findings are written, or one empty frame if nothing was found. Scores, as a segmentation has no
    place for them, are in the text of a segment: the number of findings and the highest score.

    Args:
        row: What ``LesionDetector.predict_clip`` gives, with ``clip``, the path of a DICOM file.
        masks: The mask of each of its detections, compressed run lengths at the size of the frames.
        classes: Names of the classes.
        model: See :class:`~.dicom_result.UsedModel`.
        folder: Created if needed.

    Returns:
        The file, see :func:`~.dicom_result.save_result`.

    Raises:
        ClipError: The clip is not DICOM, no segmentation can refer to it, or the detector gives boxes only.
    """
    clip, found = Path(row['clip']), row['detections']
    if None in masks:
        raise ClipError(
            clip, 'the detector gives boxes only, and a segmentation needs masks: take one that gives masks'
        )

    def make(header: 'Dataset', uid: str) -> 'Dataset':
        from highdicom import AlgorithmIdentificationSequence
        from highdicom.seg import Segmentation, SegmentDescription
        from pydicom.sr.codedict import codes
        from pydicom.uid import UltrasoundImageStorage

        algorithm = AlgorithmIdentificationSequence(
            model.name, codes.DCM.ArtificialIntelligence, __version__, source=MAKER, parameters=model.facts
        )
        segments = []
        for number, name in enumerate(classes, start=1):
            segment = SegmentDescription(
                number, as_label(name), codes.SCT.MorphologicallyAbnormalStructure, private_code(name), 'AUTOMATIC',
                algorithm,
            )  # fmt: skip
            segment.SegmentDescription = f'{_describe(name, found)}. {NOTICE}'
            segments.append(segment)
        still = deepcopy(header)
        still.SOPClassUID = UltrasoundImageStorage  # see _replace_frames
        made = Segmentation(
            source_images=[still],
            pixel_array=np.zeros((1, header.Rows, header.Columns, len(classes)), np.uint8),
            segmentation_type='BINARY',
            omit_empty_frames=False,
            segment_descriptions=segments,
            **instance_facts(uid),
            device_serial_number=model.digest[:64],
            content_description=NOTICE,
            content_label='FINDINGS',
        )
        made.PatientOrientation = ''  # type 2C where no coordinates are known (PS3.3, C.7.6.1)
        _replace_frames(made, _join(found, masks, classes, header), frame_count(header) > 1)
        for element in made.iterall():
            if element.keyword == 'ReferencedSOPClassUID':
                element.value = header.SOPClassUID
        return made

    return save_result(clip, model, Path(folder), make)


def _describe(name: str, found: Sequence[Mapping[str, Any]]) -> str:
    scores = [each['score'] for each in found if each['class'] == name]
    return f'{counted(len(scores), "finding")}, highest score {max(scores):.2f}' if scores else 'no finding'


def _join(
    found: Sequence[Mapping[str, Any]], masks: Sequence[dict | None], classes: Sequence[str], header: 'Dataset'
) -> dict[tuple[int, int], np.ndarray]:
    """Class and frame of the source, both from 1 → mask (rows, columns) uint8, at the size that the file stores."""
    import cv2
    from pycocotools import mask as coco_mask

    shape = (header.Rows, header.Columns)
    joined: dict[tuple[int, int], np.ndarray] = {}
    for each, runs in zip(found, masks, strict=True):
        mask = coco_mask.decode(runs)
        if mask.shape != shape:  # the detector saw square pixels
            mask = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST)
        key = classes.index(each['class']) + 1, each['source_frame']
        joined[key] = joined[key] | mask if key in joined else mask
    return dict(sorted(joined.items())) or {(1, 1): np.zeros(shape, np.uint8)}


def _replace_frames(made: 'Dataset', joined: Mapping[tuple[int, int], np.ndarray], is_multi_frame: bool) -> None:
    """Give an empty segmentation its frames.

    highdicom 0.28 writes one frame only where a source has no coordinates in space, as ultrasound has none. It wrote
    one for every segment, and these are copied for the frames of the source. A second dimension, the number of that
    frame, tells them apart.

    Args:
        made: With an empty frame for every class.
        joined: See :func:`_join`.
        is_multi_frame: Whether the source has several frames, so that references need their numbers.
    """
    from pydicom import Dataset
    from pydicom.pixels import pack_bits
    from pydicom.tag import Tag

    groups = []
    for label, frame in joined:
        group = deepcopy(made.PerFrameFunctionalGroupsSequence[label - 1])
        content = group.FrameContentSequence[0]
        content.DimensionIndexValues = [label, frame]
        content.TemporalPositionIndex = frame
        if is_multi_frame:
            group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = frame
        groups.append(group)
    time = Dataset()
    time.DimensionOrganizationUID = made.DimensionIndexSequence[0].DimensionOrganizationUID
    time.DimensionIndexPointer = Tag('TemporalPositionIndex')
    time.FunctionalGroupPointer = Tag('FrameContentSequence')
    time.DimensionDescriptionLabel = 'Frame of the source'
    made.DimensionIndexSequence.append(time)
    made.PerFrameFunctionalGroupsSequence = groups
    made.NumberOfFrames = len(groups)
    pairs = combinations(joined.items(), 2)
    overlaps = any(one[1] == other[1] and (mask & another).any() for (one, mask), (other, another) in pairs)
    made.SegmentsOverlap = 'YES' if overlaps else 'NO'
    made.PixelData = pack_bits(np.stack(list(joined.values())))
