"""Pack the views of a video for a model: the end of sample pair generation without MMPretrain's PackInputs."""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from mmengine.structures import BaseDataElement

META_KEYS = ('sample_idx', 'video_id', 'patient_id', 'frame_inds', 'mix_ratios')


@TRANSFORMS.register_module()
class PackViews(BaseTransform):
    """Turn views into tensors, for pipelines of MMDetection, whose PackDetInputs takes one image, or of plain mmcv.

    **Required Keys:**

    - img (list[np.ndarray]): the views, each (H, W, 3), as MixFrames makes them

    **Added Keys:**

    - inputs (list[torch.Tensor]): the views, each (3, H, W) with its original dtype
    - data_samples (BaseDataElement): its metainfo holds the available ``meta_keys``

    All other keys are removed.

    Args:
        meta_keys: Keys of the sample to keep.

    Raises:
        ValueError: ``img`` is not a list of arrays of shape (H, W, 3).
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Replace everything with ``inputs`` and ``data_samples``; see the class."""
        views = results['img']
        shapes = [np.shape(view) for view in views] if isinstance(views, list) else np.shape(views)
        if not isinstance(views, list) or any(len(shape) != 3 or shape[2] != 3 for shape in shapes):
            found = f'got {shapes} for video {results.get("video_id", "(no id)")!r}'
            raise ValueError(f'PackViews takes a list of views (H, W, 3), {found}: put MixFrames before it.')
        inputs = [torch.from_numpy(np.ascontiguousarray(view.transpose(2, 0, 1))) for view in views]
        metainfo = {key: results[key] for key in self.meta_keys if key in results}
        return {'inputs': inputs, 'data_samples': BaseDataElement(metainfo=metainfo)}

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(meta_keys={self.meta_keys})'
