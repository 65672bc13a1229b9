"""UCL: contrastive learning with hard negatives from the same video and from others."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_rank
from mmengine.model import ExponentialMovingAverage
from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from .baselines.consistency import training_progress
from .losses.hard_negatives import hard_negative_loss, mine_negative


@MODELS.register_module()
class UCL(BaseSelfSupervisor):
    """UCL, contrastive learning with hard negative mining (Basu et al., MICCAI 2022).

    The views are those of ``SampleHardNegatives``: anchor, positive, and negatives of the same video. Positives go
    through a moving average of the network. Each anchor's last negative is blended from the nearest of all the batch's
    negatives (on all ranks), also of its own video. Copies of the anchor, in videos too short for negatives, count
    neither as negatives of their own video nor in what is blended for it.

    It returns ``loss`` and, for ``ContrastiveMonitorHook``, the mean cosines ``positive_similarity`` (of queries and
    keys) and ``negative_similarity`` (of queries and their blended negatives).

    Args:
        backbone: Config of a backbone that returns a tuple with one feature map.
        neck: Config of the projection, called with and returning a one-tuple.
        num_nearest: Number of entries that a negative is blended from.
        temperature: τ and τ' > 0.
        momentum: Share of the network in each update of its moving average.
        warm_up: Fraction of the run in which only the blended negative is used, in [0, 1].
        data_preprocessor: Config; without a type, :class:`mmpretrain.models.SelfSupDataPreprocessor`.
        pretrained: Checkpoint to start from.
        init_cfg: Initialisation of MMEngine's modules.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        num_nearest: int = 4,
        temperature: float = 0.07,
        momentum: float = 0.001,
        warm_up: float = 10 / 60,
        data_preprocessor: dict | None = None,
        pretrained: str | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(backbone, neck, pretrained=pretrained, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.num_nearest = num_nearest
        self.temperature = temperature
        self.warm_up = warm_up
        self.key_encoder = ExponentialMovingAverage(nn.Sequential(self.backbone, self.neck), momentum)

    def loss(self, inputs: Sequence[Tensor], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of a batch of videos.

        Args:
            inputs: Anchors, positives, and at least one more view of negatives, each (N, 3, H, W), normalised.
            data_samples: N samples; if they have ``frame_inds``, negatives that are copies of the anchor are left out.

        Returns:
            See the class.

        Raises:
            ValueError: There are too few views, or only one video.
        """
        if len(inputs) < 3 or len(inputs[0]) < 2:
            found = f'{len(inputs)} views of {len(inputs[0])} videos'
            raise ValueError(f'UCL takes at least 3 views of 2 videos, got {found}: sample with SampleHardNegatives.')
        anchors, positives, *negatives = inputs
        count = len(anchors)
        projections = self.neck(self.backbone(torch.cat([anchors, *negatives])))[0]
        with torch.no_grad():
            self.key_encoder.update_parameters(nn.Sequential(self.backbone, self.neck))
            key = _unit(self.key_encoder(positives)[0])
        with torch.autocast(device_type=key.device.type, enabled=False):  # as in LightlyNTXentLoss
            query, *others = _unit(projections).split(count)
            return self._losses(query, key, torch.stack(others, dim=1), _are_distinct(data_samples, key.device))

    def _losses(self, query: Tensor, key: Tensor, own: Tensor, is_own: Tensor | None) -> dict[str, Tensor]:
        count, device = len(query), query.device
        if is_own is None:
            is_own = torch.ones(own.shape[:2], dtype=torch.bool, device=device)
        pool, is_distinct = (torch.cat(all_gather(part.detach().flatten(0, 1).contiguous())) for part in (own, is_own))
        video = torch.arange(len(pool), device=device) // own.shape[1]
        usable = is_distinct | (video != torch.arange(count, device=device)[:, None] + get_rank() * count)
        mined = mine_negative(query, pool, usable, self.num_nearest, self.temperature)
        counts = is_own & (training_progress() >= self.warm_up)
        return {
            'loss': hard_negative_loss(query, key, own, counts, mined, self.temperature),
            'positive_similarity': F.cosine_similarity(query, key).mean().detach(),
            'negative_similarity': F.cosine_similarity(query, mined).mean().detach(),
        }


def _unit(projections: Tensor) -> Tensor:
    return F.normalize(projections.to(torch.promote_types(projections.dtype, torch.float32)), dim=1)


def _are_distinct(data_samples: Sequence[DataSample], device: torch.device) -> Tensor | None:
    """(N, M) bool, which negatives are another frame than the anchor; None if the frames are not known."""
    frames = [sample.get('frame_inds') for sample in data_samples]
    if not frames or any(inds is None for inds in frames):
        return None
    return torch.tensor([[bool(k != inds[0]) for k in inds[2:]] for inds in frames], device=device)
