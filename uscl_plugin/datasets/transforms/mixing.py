"""Mix the frames of a video into a positive pair: the last step of USCL's sample pair generation (SPG)."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from uscl.data.spg import draw_ratios, positive_pair


@TRANSFORMS.register_module()
class MixFrames(BaseTransform):
    """Make the two views of a video: its first and third frame, each mixed into the second, the anchor.

    ``img = [ξ1·x1 + (1-ξ1)·x2,  ξ2·x3 + (1-ξ2)·x2]`` with ξ ~ Beta(alpha, beta) (Sec. 3 of the paper).
    Two frames form the pair unchanged, and a single frame is used twice (as in the released code).

    **Required Keys:**

    - imgs (list[np.ndarray]): one to three frames in time order, each (H, W, 3), all of one size

    **Added Keys:**

    - img (list[np.ndarray]): the two views, each (H, W, 3) of dtype ``out_dtype``
    - mix_ratios (tuple[float, ...]): (ξ1, ξ2); empty if nothing was mixed

    Args:
        alpha: First parameter of the Beta distribution, > 0.
        beta: Second parameter, > 0.
        shared_ratio: ``False`` draws ξ1 and ξ2 independently (paper), ``True`` uses one for both (released code).
        out_dtype: 'float32', or 'uint8' to round, for pipelines whose later transforms only take uint8 (ColorJitter).

    Raises:
        ValueError: A setting, or the number or sizes of the frames, is wrong.
    """

    def __init__(
        self, alpha: float = 0.5, beta: float = 0.5, shared_ratio: bool = False, out_dtype: str = 'float32'
    ) -> None:
        if alpha <= 0 or beta <= 0:
            raise ValueError(f'alpha and beta of the Beta distribution should be above 0, got {alpha} and {beta}.')
        if out_dtype not in ('float32', 'uint8'):
            raise ValueError(f"out_dtype should be 'float32' or 'uint8', got {out_dtype!r}.")
        self.alpha = alpha
        self.beta = beta
        self.shared_ratio = shared_ratio
        self.out_dtype = out_dtype

    def _sample_params(self) -> tuple[float, float]:
        return draw_ratios(self.alpha, self.beta, self.shared_ratio)

    def _finish(self, view: np.ndarray) -> np.ndarray:
        if self.out_dtype == 'uint8' and view.dtype != np.uint8:
            return np.rint(view).astype(np.uint8)  # between two frames, therefore within [0, 255]
        return view.astype(self.out_dtype)  # astype copies, so views never share memory with a frame

    def transform(self, results: dict) -> dict:
        """Add ``img``; see the class."""
        imgs = results['imgs']
        sizes = {img.shape for img in imgs}
        if not 1 <= len(imgs) <= 3 or len(sizes) != 1:
            found = f'got {len(imgs)} of sizes {sorted(sizes)} for video {results.get("video_id", "(no id)")!r}'
            remedy = 'use SampleVideoFrames(num_frames=3), and resize first'
            raise ValueError(f'MixFrames takes one to three frames of one size, {found}: {remedy}.')
        ratios = self._sample_params() if len(imgs) == 3 else ()
        results['img'] = [self._finish(view) for view in positive_pair(imgs, ratios)]
        results['mix_ratios'] = ratios
        return results

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(alpha={self.alpha}, beta={self.beta}, '
            f'shared_ratio={self.shared_ratio}, out_dtype={self.out_dtype!r})'
        )
