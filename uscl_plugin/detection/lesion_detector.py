"""A trained detector, rebuilt from its checkpoint only, and what it finds in clips and images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.datasets.transforms import Resize
from mmdet.structures import DetDataSample
from mmdet.structures.mask import encode_mask_results
from mmengine.device import get_device
from pycocotools import mask as coco_mask

from uscl.clips.readers import open_clip
from uscl.core.config_literals import config_literals
from uscl_plugin.datasets.pipeline_settings import dataset_pipeline
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.input_metadata import LARGEST_INPUT
from uscl_plugin.weights.network_builder import build_network
from uscl_plugin.weights.plain_checkpoints import checkpoint_meta, class_names, load_plain_checkpoint
from uscl_plugin.weights.strict_loading import load_strictly

from .lesion_check_hook import check_heads

REMEDY = 'pass a checkpoint trained with a config of configs/udiat_b, configs/busi or configs/bus_uclm'
# What find() does itself, and the settings of these steps that it takes from a file.
_STEPS = {
    'LoadImageFromFile': {'backend_args'},
    'Resize': {'scale', 'keep_ratio'},
    'LoadAnnotations': {'with_bbox', 'with_mask'},
    'PackDetInputs': {'meta_keys'},
}


@dataclass(frozen=True)
class Lesion:
    """Something found in a frame.

    Attributes:
        kind: Name of its class.
        score: In [0, 1].
        box: x, y, width, height in pixels of the frame.
        mask: Compressed run lengths at the frame's size; None if the detector gives boxes only.
    """

    kind: str
    score: float
    box: list[float]
    mask: dict | None

    @property
    def outlines(self) -> list[list[list[int]]] | None:
        """Polygons around the mask, outer ones only, each a list of [x, y] in pixels of the frame."""
        if self.mask is None:
            return None
        found, _ = cv2.findContours(coco_mask.decode(self.mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        return [outline[:, 0].tolist() for outline in found]


Drawer = Callable[[int, np.ndarray, list[Lesion]], None]


@dataclass(frozen=True)
class LesionDetector:
    """A detector with the input that it expects.

    Attributes:
        model: An MMDetection detector in evaluation mode.
        classes: Names of the C classes.
        scale: Width and height that a frame is resized to fit, or to have.
        keep_ratio: Whether the aspect ratio is kept.
    """

    model: Any
    classes: list[str]
    scale: tuple[int, int]
    keep_ratio: bool

    def find(self, frame: np.ndarray, min_score: float = 0.0) -> list[Lesion]:
        """What is found in a frame, highest score first.

        Args:
            frame: (H, W, 3) uint8, RGB.
            min_score: Lowest score that counts.
        """
        resize = Resize(scale=self.scale, keep_ratio=self.keep_ratio)
        ready = resize.transform({'img': np.ascontiguousarray(frame[..., ::-1])})
        facts = {'ori_shape': frame.shape[:2], 'img_shape': ready['img'].shape[:2]}
        sample = DetDataSample(metainfo=facts | {'scale_factor': ready['scale_factor']})
        image = torch.from_numpy(np.ascontiguousarray(ready['img'].transpose(2, 0, 1)))
        with torch.inference_mode():
            (result,) = self.model.test_step({'inputs': [image], 'data_samples': [sample]})
        found = result.pred_instances.cpu()
        found = found[(found.scores >= min_score).nonzero()[:, 0]]
        found = found[found.scores.argsort(descending=True)]
        corners = found.bboxes.double().numpy()
        boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).tolist()
        masks = encode_mask_results(found.masks.numpy()) if 'masks' in found else [None] * len(boxes)
        rows = zip(found.labels.tolist(), found.scores.tolist(), boxes, masks, strict=True)
        return [Lesion(self.classes[label], score, box, mask) for label, score, box, mask in rows]

    def predict_clip(
        self, path: str | Path, fps: float | None, min_frames: int, min_score: float, draw: Drawer | None = None
    ) -> dict[str, Any]:
        """Find lesions in the frames of a clip, or in an image.

        Args:
            path: See :func:`uscl.clips.open_clip`.
            fps: Frames used per second of a clip; None uses all.
            min_frames: Fewest frames to use of a short clip.
            min_score: Lowest score that counts.
            draw: Called with the number of each frame from 1, the frame, and what was found in it.

        Returns:
            ``clip`` (the path), ``frames`` (their number), and ``detections``: dicts with ``frame`` (its number from 1
            among those used), ``source_frame`` (its number from 1 in the clip), ``time`` (in seconds; None for images),
            ``class``, ``score``, ``box`` (x, y, width, height in pixels) and ``outlines`` (polygons; None for boxes
            only).

        Raises:
            ClipError: The clip does not exist or cannot be read.
        """
        clip = open_clip(path, fps, min_frames)
        found: list[dict[str, Any]] = []
        number = 0
        for number, frame in enumerate(clip, start=1):
            lesions = self.find(frame, min_score)
            for each in lesions:
                facts = {'class': each.kind, 'score': each.score, 'box': each.box, 'outlines': each.outlines}
                found.append({'frame': number, 'source_frame': number, 'time': None, **facts})
            if draw is not None:
                draw(number, frame, lesions)
        for row in found:  # known after the last frame
            row['source_frame'] = clip.places[row['frame'] - 1] + 1
            row['time'] = None if clip.times is None else clip.times[row['frame'] - 1]
        return {'clip': str(path), 'frames': number, 'detections': found}


def load_detector(path: str | Path, checkpoint: Mapping[str, Any] | None = None) -> LesionDetector:
    """Rebuild a detector from a checkpoint of an MMDetection run.

    Its config is read as literals, and nothing in the file is executed; see
    :func:`~uscl_plugin.weights.network_builder.build_network`.

    Args:
        path: The file.
        checkpoint: Its content, if it has been read.

    Raises:
        FileNotFoundError: The file does not exist.
        CheckpointError: The file is not readable, has no detector or no class names, names parts of a network that are
            not known, prepares images in another way, or its weights do not fit its config.
    """
    checkpoint = load_plain_checkpoint(path) if checkpoint is None else checkpoint
    meta = checkpoint_meta(checkpoint)
    cfg = config_literals(str(meta.get('cfg', '')), ('model', 'test_dataloader', 'val_dataloader'))
    classes = class_names(meta)
    if not isinstance(cfg.get('model'), dict) or not classes:
        raise CheckpointError(f'{path} contains no detector with class names: {REMEDY}.')
    scale, keep_ratio = _resizing(path, cfg.get('test_dataloader') or cfg.get('val_dataloader') or {})
    model = build_network(cfg['model'], path, 'mmdet', checkpoint.get('state_dict', checkpoint))
    load_strictly(model, checkpoint, path, REMEDY)
    try:
        check_heads(model, len(classes))
    except ValueError as error:
        raise CheckpointError(f'{path}: {error}') from error
    return LesionDetector(model.to(get_device()).eval(), classes, scale, keep_ratio)


def _resizing(path: str | Path, loader: Mapping[str, Any]) -> tuple[tuple[int, int], bool]:
    """Scale and ``keep_ratio`` of the one resizing in the pipeline of a test."""
    try:
        steps = dataset_pipeline(loader['dataset'])
        for step in steps:
            if step['type'] not in _STEPS or step.keys() - {'type'} - _STEPS[step['type']]:
                raise ValueError(f'{step["type"]} with {", ".join(step)} is not done here')
        (resize,) = [step for step in steps if step['type'] == 'Resize']
        width, height = (int(side) for side in resize['scale'])
        if not 0 < min(width, height) <= max(width, height) <= LARGEST_INPUT:
            raise ValueError(f'{width} x {height} pixels')
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f'{path} was tested with a pipeline other than LoadImageFromFile, one Resize to a scale, PackDetInputs '
            f'({error}): {REMEDY}.'
        ) from error
    return (width, height), bool(resize.get('keep_ratio', False))
