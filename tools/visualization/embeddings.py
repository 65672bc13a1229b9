"""Show a two-dimensional map of a dataset's features, one panel per backbone.

python tools/visualization/embeddings.py random USCL=work_dirs/uscl/epoch_300.pth --data data/pocus --out map.png
"""

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.options.input_options import InputOptions


@dataclass(frozen=True, kw_only=True)
class EmbeddingOptions(InputOptions):
    """Options of the map.

    Attributes:
        checkpoints: PATH, NAME=PATH, or 'random' (untrained ResNet-18).
        data: Converted dataset, with annotations.json.
        out: Picture to write (.png, .jpg, .pdf, .svg).
        method: Layout method.
        color: What the colours show.
        size: Side length of the input in pixels.
        frames_per_video: Maximum number of frames per video (default: all).
        split: Use only videos of this split (default: all).
        seed: Seed of untrained weights and layout.
        dpi: Resolution of the picture.
    """

    checkpoints: Annotated[list[str], Arg('CHECKPOINT', positional=True)]
    data: Annotated[str, Arg('DIR')]
    out: Annotated[str, Arg('FIG.png')]
    method: Literal['tsne', 'pca', 'umap'] = 'tsne'
    color: Literal['class', 'video', 'patient'] = 'class'
    size: Annotated[int, Arg(at_least=1)] = 224
    frames_per_video: Annotated[int | None, Arg('N', at_least=1)] = None
    split: str | None = None
    seed: int = 0
    dpi: Annotated[int, Arg(at_least=1)] = 150


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(EmbeddingOptions, argv, __doc__)
    # Here, so that --help need not wait for the hosts.
    from mmengine.logging import MMLogger

    from uscl.data.video_folder import VideoFolder
    from uscl.reports.embedding_map import check_method, embedding_figure, lay_out, list_frames
    from uscl.reports.figures import check_picture, save_picture
    from uscl_plugin.evaluation.backbones import load_backbone, unique_names
    from uscl_plugin.measures.features import extract_features

    MMLogger.get_instance(
        'embeddings', log_level='WARNING'
    )  # otherwise MMEngine logs the initialisation of every weight
    check_picture(options.out)
    check_method(options.method)
    names = unique_names(options.checkpoints)
    frames, groups = list_frames(options.data, options.color, options.frames_per_video, options.split)
    backbones = [load_backbone(spec, options.seed, options.given_input()) for spec in options.checkpoints]
    folder, maps = VideoFolder(options.data), {}
    for name, backbone in zip(names, backbones, strict=True):
        features = extract_features(
            backbone.network, folder.frames(frames), options.size, backbone.mean, backbone.std, backbone.to_rgb
        )
        maps[name] = lay_out(features, options.method, options.seed)
    save_picture(embedding_figure(maps, groups, options.color), options.out, options.dpi)
    print(f'{options.out}: {len(frames)} frames by {options.color}, {options.method} of {", ".join(names)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
