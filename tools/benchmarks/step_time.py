"""Time one training step of USCL against the algorithm of the authors' released code, on the same inputs.

The released code (simclr.py) runs the network four times a step: each view once for the cross-entropy and once more
for the contrastive loss. USCL here runs it once, on both views together, by default with images laid out
channels-last. All train the same network with the same optimiser and alternate in one process, so that a busy machine
slows each alike.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
RELEASED = 'released, four passes'


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=224, help='side of a view in pixels (default: 224)')
    parser.add_argument('--batch-size', type=int, default=32, help='videos in a batch (default: 32)')
    parser.add_argument('--repeats', type=int, default=5, help='timed steps of each (default: 5)')
    parser.add_argument('--json', help='write the figures to this file, too')
    return parser.parse_args()


def build_model() -> nn.Module:
    """The model of the paper's config, in training mode."""
    from mmpretrain.registry import MODELS

    cfg = Config.fromfile(ROOT / 'configs' / 'uscl' / 'uscl_resnet18_1xb32-300e_us4-224px.py')
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    return MODELS.build(cfg.model).train()


def one_pass(model: nn.Module, views: list[Tensor], samples: list, layout: torch.memory_format) -> Tensor:
    """The loss of USCL: one pass."""
    model.memory_format = layout
    losses = model.loss(views, samples)
    return losses['loss_contrastive'] + losses['loss_cls']


def four_passes(model: nn.Module, views: list[Tensor], samples: list) -> Tensor:
    """The loss as the released loop computes it: each view alone, twice."""
    model.memory_format = torch.contiguous_format
    labels = torch.cat([sample.gt_label for sample in samples])
    total = sum(0.2 * F.cross_entropy(model.head.classifier(model.embed([view])[0]), labels) for view in views)
    return total + model.head.loss_contrastive(*(model.embed([view])[1] for view in views))


def timed(step: Callable[..., Tensor], model: nn.Module, optimizer: torch.optim.Optimizer, *batch) -> float:
    """Seconds of one whole step: forward, backward, update."""
    device = next(model.parameters()).device
    start = time.perf_counter()
    optimizer.zero_grad()
    step(model, *batch).backward()
    optimizer.step()
    if device.type == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Alternate the steps and print medians and spreads."""
    args = parse_args()
    from mmpretrain.structures import DataSample

    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    model = build_model().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4, weight_decay=1e-4)
    views = [torch.randn(args.batch_size, 3, args.size, args.size, device=device) for _ in range(2)]
    samples = [DataSample().set_gt_label(i % 12).to(device) for i in range(args.batch_size)]
    steps: dict[str, Callable[..., Tensor]] = {
        RELEASED: four_passes,
        'one pass': partial(one_pass, layout=torch.contiguous_format),
        'one pass, channels-last': partial(one_pass, layout=torch.channels_last),
    }
    for step in steps.values():  # warm up
        timed(step, model, optimizer, views, samples)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.repeats):
        for name, step in steps.items():
            seconds[name].append(timed(step, model, optimizer, views, samples))

    print(f'{args.batch_size} videos a step, {args.size} px, {device}, {torch.get_num_threads()} threads')
    for name, values in seconds.items():
        median = statistics.median(values)
        print(
            f'{name:23s} {median:7.3f} s a step ({min(values):.3f} to {max(values):.3f}), '
            f'{args.batch_size / median:6.2f} videos/s'
        )
    ratios = {}
    for name in list(steps)[1:]:
        ratios[name] = [slow / fast for slow, fast in zip(seconds[RELEASED], seconds[name], strict=True)]
        median, low, high = statistics.median(ratios[name]), min(ratios[name]), max(ratios[name])
        print(f'{name}: {median:.2f} times as fast as released (median of {args.repeats}, {low:.2f} to {high:.2f})')
    if args.json:
        result = {
            'size': args.size,
            'batch_size': args.batch_size,
            'device': device,
            'torch': torch.__version__,
            'machine': platform.machine(),
            'seconds': seconds,
            'ratio_medians': {name: statistics.median(values) for name, values in ratios.items()},
        }
        Path(args.json).write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()
