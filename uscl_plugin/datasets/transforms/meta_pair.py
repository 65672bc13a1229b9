"""Add the first frame of a video to its views: the pair by which Meta-USCL judges its weights."""

from mmengine.registry import TRANSFORMS

from .frames import LoadVideoFrames


@TRANSFORMS.register_module()
class AddMetaPair(LoadVideoFrames):
    """Append the first frame of a video twice to its views, to be augmented like these (Meta-USCL).

    **Required Keys:**

    - frames (list): see :class:`LoadVideoFrames`
    - img (list[np.ndarray]): the two views, as MixFrames makes them

    **Modified Keys:**

    - img (list[np.ndarray]): four images: the two views, and the first frame twice, (H, W, 3) uint8

    Args:
        color_type: See :class:`LoadVideoFrames`.
    """

    def transform(self, results: dict) -> dict:
        """Extend ``img``; see the class."""
        (first,) = super().transform({**results, 'frame_inds': [0]})['imgs']
        results['img'] = [*results['img'], first, first.copy()]
        return results
