"""What works with which backbone: pretrain, judge, export to every library, explain, predict, detect.

Every cell is a figure, "equal" (the largest difference of the features from the network that was trained, relative to
the largest feature), or the sentence with which it was refused. Each command runs as a user types it.

    python tools/benchmarks/backbone_matrix.py CLIPS --clip CLIP --lesions BUS --out matrix.md

CLIPS is a folder of labelled clips or one that a converter wrote, BUS a folder of lesions that one wrote.
"""

import contextlib
import importlib
import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import Tensor, nn

import uscl_plugin.compat.mmcv_ops  # noqa: F401 (before MMDetection)
from uscl import cli
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.core.tables import markdown
from uscl.options.pretraining_options import BACKBONES
from uscl_plugin.compat.backbone_io import GREY_WEIGHTS, input_channels, pool
from uscl_plugin.evaluation.backbones import load_backbone
from uscl_plugin.evaluation.pretrained_backbone import trained_backbone
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

_RESNET = "model = dict(backbone=dict(type='ResNet', depth=18, out_indices=(3,), zero_init_residual=False, {}))\n"
CONFIGS = {  # backbones that have no name
    'resnet18, dilated': _RESNET.format('strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)'),
    'resnet18, one channel': _RESNET.format('in_channels=1'),
}
EVERY = (*BACKBONES, *CONFIGS, 'timm:resnet18', 'timm:tf_efficientnet_lite0')
_PREFIXED = {'mmpretrain': 'mmpretrain', 'mmdet': 'mmdet', 'mmseg': 'mmseg'}


@dataclass(frozen=True, kw_only=True)
class MatrixOptions:
    """Options of the matrix.

    Attributes:
        clips: Folder of labelled clips, or one that a converter wrote.
        clip: A clip to predict.
        lesions: Folder of lesions; without it, detectors are left out.
        backbones: Backbones to try (default: every name of `uscl pretrain --backbone`, and four more).
        work: Folder for runs and exports; backbones that are finished there are not run again.
        out: Table to write.
        size: Side length of the input in pixels.
        epochs: Epochs of pretraining.
    """

    clips: Annotated[str, Arg('CLIPS', positional=True)]
    clip: Annotated[str, Arg('CLIP')]
    lesions: Annotated[str | None, Arg('DIR')] = None
    backbones: Annotated[list[str], Arg('NAME')] = field(default_factory=lambda: list(EVERY))
    work: Annotated[str, Arg('DIR')] = 'work_dirs/matrix'
    out: Annotated[str, Arg('FILE.md')] = 'matrix.md'
    size: Annotated[int, Arg('PX', at_least=32)] = 64
    epochs: Annotated[int, Arg(at_least=1)] = 1


class Row:
    """One backbone; every method fills cells."""

    def __init__(self, name: str, options: MatrixOptions) -> None:
        self.name, self.options, self.cells = name, options, dict[str, str]()
        self.folder = Path(options.work) / ''.join(letter if letter.isalnum() else '_' for letter in name)
        self.file = self.folder / 'run' / 'backbone.pth'
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(2, 3, options.size, options.size, generator=generator)

    def run(self) -> dict[str, str]:
        """Fill the cells, or read those of an earlier run."""
        done = self.folder / 'cells.json'
        if done.is_file():
            return json.loads(done.read_text(encoding='utf-8'))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._try('pretrain', self._pretrain)
        if self.file.is_file():
            self._judge()
            for target in ('mmpretrain', 'mmdet', 'mmseg', 'torchvision', 'timm', 'onnx', 'hub'):
                self._try(target, lambda target=target: self._export(target))
            if self.options.lesions is not None:
                self._try('detect', self._detect)
        write_text(done, json.dumps(self.cells, indent=1, ensure_ascii=False) + '\n')
        return self.cells

    def _try(self, cell: str, act: Callable[[], str]) -> None:
        try:
            self.cells[cell] = act()
        except Exception as error:  # a cell must not stop the others
            reason = str(error).strip().split('\n')[-1] or repr(error)
            reason = reason.removeprefix('error: ').removeprefix(f'{self.file}: ')
            self.cells[cell] = reason.split(': export --to')[0]  # the remedy is in the table itself
        print(f'{self.name}: {cell}: {self.cells[cell]}', file=sys.stderr, flush=True)

    def _pretrain(self) -> str:
        backbone, size = self.name, str(self.options.size)
        if backbone in CONFIGS:
            backbone = str(self.folder / 'backbone.py')
            write_text(Path(backbone), CONFIGS[self.name])
        run = ['pretrain', self.options.clips, '--out', str(self.folder / 'run'), '--size', size]
        call([*run, '--epochs', str(self.options.epochs), '--backbone', backbone, '--workers', '0'])
        facts = json.loads((self.folder / 'run' / 'report.json').read_text(encoding='utf-8'))
        return f'ran; report: {facts["num_channels"]} features'

    @torch.no_grad()
    def _trained(self) -> Tensor:
        """Features of the network as it was trained, built from the config of the run."""
        run = self.folder / 'run'
        cfg = Config.fromfile(run / 'config.py')
        network = trained_backbone(cfg, run / f'epoch_{cfg.train_cfg.max_epochs}.pth')
        network.eval()
        return pool(network(self._for(network)))

    def _for(self, network: nn.Module) -> Tensor:
        if input_channels(network) == 3:
            return self.images
        return (self.images * torch.tensor(GREY_WEIGHTS).view(1, 3, 1, 1)).sum(1, keepdim=True)

    @torch.no_grad()
    def _equal(self, network: nn.Module) -> str:
        network.eval()
        return self._difference(pool(network(self._for(network))))

    def _difference(self, got: Tensor) -> str:
        expected = self._trained()
        return f'equal ({float((got - expected).abs().max() / expected.abs().max()):.0e})'

    def _judge(self) -> None:
        self._try('evaluate loads', lambda: self._equal(load_backbone(str(self.file)).network))
        data, models = str(self.folder / 'run' / 'data'), self.folder / 'judged'
        data = data if Path(data).is_dir() else self.options.clips
        shared = ['--data', data, '--size', str(self.options.size), '--folds', 'split', '--frames-per-video', '2']
        for protocol, more in (('linear', []), ('knn', []), ('finetune3', ['--epochs', '1'])):

            def judge(protocol: str = protocol, more: list[str] = more) -> str:
                out = models / protocol
                call(['evaluate', f'b={self.file}', *shared, '--out', str(out), '--protocol', protocol, *more])
                found = json.loads((out / 'metrics.json').read_text(encoding='utf-8'))
                return f'{len(found["cells"])} fold'

            self._try(protocol, judge)
        for protocol in ('linear', 'finetune3'):
            model = next(models.glob(f'{protocol}/cells/**/model.pth'), None)
            if model is not None:
                self._try(f'cam, {protocol}', lambda model=model: self._explain(model, self.options.clip))

    def _explain(self, model: Path, clip: str) -> str:
        call(['cam', str(model), clip, '--out', str(self.folder / 'cam.png')])
        (row,) = json.loads(call(['predict', str(model), clip, '--json']))
        return f'drawn; predict: {row["predicted"]} {row["probabilities"][row["predicted"]]:.2f}'

    def _export(self, target: str) -> str:
        suffix = {'onnx': '.onnx', 'hub': ''}.get(target, '.pth')
        out = self.folder / f'{target}{suffix}'
        call(['export', str(self.file), str(out), '--to', target])
        return LOADERS[target](self, out)

    def _in_openmmlab(self, out: Path, host: str) -> str:
        config = load_plain_checkpoint(out)['meta']['uscl']['backbone']
        registry = importlib.import_module(f'{"mmengine" if host == "mmseg" else host}.registry').MODELS
        scope = 'mmpretrain.' if host != 'mmpretrain' else ''
        init = dict(type='Pretrained', checkpoint=str(out), prefix='backbone.')
        network = registry.build(config | dict(type=f'{scope}{config["type"]}', init_cfg=init))
        network.init_weights()
        return self._equal(network)

    def _in_torchvision(self, out: Path) -> str:
        import torchvision

        report = json.loads(Path(f'{out}.json').read_text(encoding='utf-8'))
        name = report['model']
        network = torchvision.models.get_model(name)
        state = torch.load(out, weights_only=True)
        missing = set(network.state_dict()) - set(state)
        for place in ('classifier', 'fc', 'head'):
            last = getattr(network, place, None)
            if last is not None and name.startswith('convnext'):
                last[-1] = nn.Identity()
            elif last is not None:
                setattr(network, place, nn.Identity())
        network.load_state_dict(state, strict=True)
        assert all(key.split('.')[0] in ('classifier', 'fc', 'head') for key in missing), missing
        return self._plain(network)

    def _in_timm(self, out: Path) -> str:
        import timm

        report = json.loads(Path(f'{out}.json').read_text(encoding='utf-8'))
        network = timm.create_model(report['model'], num_classes=0, **report['arguments'])
        network.load_state_dict(torch.load(out, weights_only=True), strict=True)
        return self._plain(network)

    def _in_hub(self, out: Path) -> str:
        import timm

        return self._plain(timm.create_model(f'local-dir:{out}', pretrained=True, num_classes=0))

    @torch.no_grad()
    def _plain(self, network: nn.Module) -> str:
        return self._difference(network.eval()(self.images))

    def _in_onnx(self, out: Path) -> str:
        import onnxruntime

        session = onnxruntime.InferenceSession(out, providers=['CPUExecutionProvider'])
        shape = session.get_inputs()[0].shape
        images = self.images
        if shape[1] == 1:
            images = (images * torch.tensor(GREY_WEIGHTS).view(1, 3, 1, 1)).sum(1, keepdim=True)
        batches = images.split(1) if shape[0] == 1 else [images]
        found = [session.run(['features'], {'image': batch.numpy()})[0] for batch in batches]
        return self._difference(torch.from_numpy(np.concatenate(found)))

    def _detect(self) -> str:
        out = self.folder / 'detector'
        size = str(self.options.size)
        run = ['finetune', str(self.options.lesions), '--from', str(self.file), '--out', str(out)]
        call([*run, '--task', 'detect', '--epochs', '1', '--size', size, '--workers', '0'])
        image = str(sorted(Path(str(self.options.lesions), 'images').rglob('*.png'))[0])
        found: Any = json.loads(call(['predict', str(out / 'model.pth'), image, '--json']))
        return f'trained; predict: {len(found)} image'


LOADERS: dict[str, Callable[[Row, Path], str]] = {
    **{target: lambda row, out, host=host: row._in_openmmlab(out, host) for target, host in _PREFIXED.items()},
    'torchvision': Row._in_torchvision,
    'timm': Row._in_timm,
    'hub': Row._in_hub,
    'onnx': Row._in_onnx,
}


def call(argv: list[str]) -> str:
    """Run a command of `uscl` in this process; what it prints.

    Raises:
        RuntimeError: It ended with another status than 0; the message is its last line.
    """
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            status = cli.main(argv)
        except SystemExit as stopped:
            status = stopped.code
    if status not in (0, None):
        raise RuntimeError((errors.getvalue() or out.getvalue()).strip().split('\n')[-1])
    return out.getvalue()


EXPORTS = ('evaluate loads', 'mmpretrain', 'mmdet', 'mmseg', 'onnx', 'torchvision', 'timm', 'hub')
RUNS = {
    'pretrain, report': 'pretrain',
    'linear': 'linear',
    'kNN': 'knn',
    'last three layers': 'finetune3',
    'cam, predict': 'cam, finetune3',
    'detect': 'detect',
}


def exports_table(rows: dict[str, dict[str, str]]) -> str:
    """The largest relative difference in each library, and the refusals below."""
    notes: list[str] = []

    def shown(cell: str) -> str:
        if match := re.fullmatch(r'equal \((.*)\)', cell):
            return match[1]
        if cell and cell not in notes:
            notes.append(cell)
        return f'refused ({notes.index(cell) + 1})' if cell else ''

    lines = [[name, *(shown(cells.get(target, '')) for target in EXPORTS)] for name, cells in rows.items()]
    below = '\n'.join(f'{number}. {note}' for number, note in enumerate(notes, start=1))
    return f'{markdown(["backbone", *EXPORTS], lines)}\n\n{below}'


def runs_table(rows: dict[str, dict[str, str]]) -> str:
    """Whether each command ran to its end, otherwise with which sentence it stopped."""
    ended = ('ran; ', '1 fold', 'drawn; ', 'trained; ')

    def shown(cell: str) -> str:
        return 'yes' if cell.startswith(ended) else cell

    lines = [[name, *(shown(cells.get(cell, '')) for cell in RUNS.values())] for name, cells in rows.items()]
    return markdown(['backbone', *RUNS], lines)


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(MatrixOptions, argv, __doc__)
    init_default_scope('mmpretrain')
    MMLogger.get_instance('matrix', log_level='ERROR')
    rows = {name: Row(name, options).run() for name in options.backbones}
    write_text(
        Path(options.out), f'{exports_table(rows)}\n\nWhether each command ran to its end:\n\n{runs_table(rows)}\n'
    )
    print(options.out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
