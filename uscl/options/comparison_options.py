"""Options of a comparison."""

from dataclasses import dataclass, field
from typing import Annotated

from uscl.core.cluster_options import ClusterOptions
from uscl.core.options import Arg
from uscl.core.shipped_files import CONFIGS

from .common_settings import CommonSettings
from .evaluation_options import PROBE_PROTOCOLS, Protocol

DETECTOR = CONFIGS / 'udiat_b' / 'mask-rcnn_r18_fpn_uscl_last3_1xb2-30e_udiat-b.py'  # the paper's protocol
ALL = ('random', 'supervised', 'te', 'pi', 'fixmatch', 'mocov2', 'simclr', 'uscl')


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions(ClusterOptions, CommonSettings):
    """Options of ``tools/compare.py``.

    Attributes:
        methods: See above (default: random supervised te pi fixmatch mocov2 simclr uscl).
        imagenet_weights: Weights for imagenet: torchvision's resnet18 file.
        eval_data: Labelled folder written by a converter.
        detection_data: Folder written by lesions_to_coco.py.
        out: Output folder.
        seeds: Seeds 0 to N-1.
        budget: Reduce the epochs so that the whole table takes about this long.
        protocol: Evaluation protocol.
        folds: Number of folds, or 'split'.
        frames_per_video: Maximum number of evaluated frames per video.
        finetune_epochs: Number of fine-tuning epochs (default: the config's, 100).
        detection_config: Config of the detector (default: the paper's on UDIAT-B).
        detection_epochs: Number of detector epochs (default: the config's, 30).
        detection_size: Shorter side of the detector's input (default: the config's).
        resamples: Number of resamples of patients for the intervals.
    """

    methods: Annotated[list[str], Arg('METHOD')] = field(default_factory=lambda: list(ALL))
    imagenet_weights: Annotated[str | None, Arg('PATH')] = None
    eval_data: Annotated[str, Arg('DIR')]
    detection_data: Annotated[str | None, Arg('DIR')] = None
    out: Annotated[str, Arg('DIR')]
    seeds: Annotated[int, Arg('N', at_least=1)] = 3
    budget: Annotated[float | None, Arg('MINUTES', above=0)] = None
    protocol: Protocol = 'linear'
    folds: Annotated[str, Arg('K')] = '5'
    frames_per_video: Annotated[int | None, Arg('N', at_least=1)] = None
    finetune_epochs: Annotated[int | None, Arg(at_least=1)] = None
    detection_config: str = str(DETECTOR)
    detection_epochs: Annotated[int | None, Arg(at_least=1)] = None
    detection_size: Annotated[int | None, Arg('PX', at_least=1)] = None
    resamples: Annotated[int, Arg(at_least=1)] = 2000

    def __post_init__(self) -> None:
        if self.budget is not None and self.detection_data is not None:
            raise ValueError('--budget cannot estimate the time of detectors: pass --epochs with --detection-data.')
        if self.budget is not None and self.cluster is not None:
            raise ValueError('--budget is for one machine: pass --epochs with --cluster.')
        if self.finetune_epochs is not None and self.protocol in PROBE_PROTOCOLS:
            raise ValueError(f'--finetune-epochs has no effect with --protocol {self.protocol}: remove it.')
