"""One detector of a comparison: train it from a backbone and read its AP."""

from pathlib import Path

from uscl.options.comparison_options import ComparisonOptions
from uscl.reports.detection_runs import MEASURES, read_run
from uscl_plugin.evaluation.backbones import load_backbone, write_backbone
from uscl_plugin.weights.input_metadata import file_source

from .detection_config import detection_config
from .training_run import FinishedTraining, run_training


def run_detector(
    spec: str, seed: int, folder: Path, options: ComparisonOptions
) -> tuple[FinishedTraining, dict[str, float]]:
    """Train a detector from a backbone unless that has been done; the detector's weights are not kept.

    Args:
        spec: The backbone, see :func:`~uscl_plugin.evaluation.backbones.load_backbone`.
        seed: Seed of the run, and of an untrained backbone.
        folder: Receives ``backbone.pth`` and the output of :func:`~uscl_plugin.comparison.training_run.run_training`.
        options: See :func:`~uscl_plugin.comparison.detection_config.detection_config`.

    Returns:
        The training run, and its measures in the last epoch: name (``box AP``, …) → value in [0, 1].

    Raises:
        OSError: A file is missing.
        ValueError: The training failed, was not evaluated, or belongs to something else; the message says which.
    """
    backbone = load_backbone(spec, seed)
    weights = folder.resolve() / 'backbone.pth'
    if not weights.is_file():  # the digest check below rejects another backbone in this folder
        write_backbone(weights, backbone)
    cfg = detection_config(backbone, weights, seed, options)
    lesions = sorted(Path(str(options.detection_data)).expanduser().glob('annotations/*.json'))
    depends_on = {'backbone': backbone.source, 'data': [file_source(path) for path in lesions]}
    done = run_training(cfg, folder, depends_on, keep_checkpoints=False)  # 220 MB each
    run = read_run(folder)
    if run.last_epoch != cfg.train_cfg.max_epochs:
        raise ValueError(f'{folder} was last evaluated in epoch {run.last_epoch}: delete it to train again.')
    return done, {name: run.measures[name][run.last_epoch] for name in MEASURES.values() if name in run.measures}
