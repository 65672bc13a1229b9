"""Export a classifier with all that it needs between a frame and its probabilities."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from uscl.core.atomic_files import write_atomically, write_text
from uscl.core.tables import markdown
from uscl.inference.onnx_classifier import pack_training
from uscl.inference.sealed_model import seal
from uscl.version import __version__
from uscl_plugin.evaluation.classifier import FrameClassifier, load_classifier
from uscl_plugin.evaluation.trained_model import is_detector
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.input_metadata import file_source
from uscl_plugin.weights.plain_checkpoints import checkpoint_meta, load_plain_checkpoint
from uscl_plugin.weights.provenance import kept_provenance

from .exported_card import exported_card
from .int8_model import Agreement, Clips, calibration_clips, compare, latencies, quantise
from .openvino_model import write_openvino
from .whole_classifier import FRAMES_RULE, trace_classifier

TARGETS = {'onnx-model': '.onnx', 'openvino': '.xml'}


def export_model(source: str | Path, out: str | Path, target: str, int8: str | None, least: float) -> str:
    """Write a classifier, and its card ``OUT.md``.

    Args:
        source: A classifier, see :func:`uscl_plugin.evaluation.classifier.load_classifier`.
        out: The file: ``.onnx``, or ``.xml``, beside which a ``.bin`` has the weights.
        target: One of :data:`TARGETS`.
        int8: Data folder to calibrate a model in 8 bits with; None keeps floating point.
        least: Smallest share of the clips held back whose class 8 bits keep.

    Returns:
        A report of several lines for the user.

    Raises:
        FileNotFoundError: ``source`` or the data do not exist.
        CheckpointError: ``source`` is no classifier, the exported model differs from it, or in 8 bits too much; ``out``
            has another suffix or is ``source``; a package is missing. Nothing was written.
        ValueError: The data cannot calibrate it.
    """
    out = Path(out)
    if out.suffix != TARGETS[target] or out.is_dir():
        raise CheckpointError(f'{out} should be a file that ends with {TARGETS[target]} for --to {target}.')
    if int8 is not None and target != 'onnx-model':
        raise CheckpointError(f'--int8 is for --to onnx-model, not {target}: remove it.')
    checkpoint = load_plain_checkpoint(source)
    if is_detector(checkpoint):
        raise CheckpointError(f'{source} is a detector, and --to {target} exports classifiers: see docs/deployment.md.')
    classifier = load_classifier(source, checkpoint)
    clips = None if int8 is None else calibration_clips(int8, classifier.classes)
    content, difference = trace_classifier(classifier, str(source))
    facts = describe(source, classifier, checkpoint_meta(checkpoint))
    lines = [f'checked in ONNX Runtime: probabilities equal to those of PyTorch within {difference:.1g}']
    table = ''
    if clips is not None:
        content, agreement, table = _in_8_bits(out, content, clips, least)
        facts['int8'] = asdict(agreement)
        lines += [
            f'8 bits: calibrated on {len(clips[0])} clips, compared on {len(clips[1])} that were held back',
            table,
        ]
    if target == 'openvino':
        lines.append(write_openvino(out, content, facts))
    else:
        write_atomically(out, lambda path: path.write_bytes(seal(content, facts)))
    card = out.with_name(f'{out.name}.md')
    write_text(card, exported_card(out.name, target, facts, table))
    following = [f'next: uscl predict {out} CLIP'] if target == 'onnx-model' else []
    return '\n'.join([f'{out}: {", ".join(classifier.classes)}; its card: {card}', *lines, *following])


def _in_8_bits(out: Path, content: bytes, clips: tuple[Clips, Clips], least: float) -> tuple[bytes, Agreement, str]:
    """The model in 8 bits, how far it agrees with the one given, and a table of both."""
    smaller = quantise(content, clips[0])
    found = compare(content, smaller, clips[1])
    if found.share < least:
        raise CheckpointError(
            f'{out} was not written: in 8 bits, {found.changed} of {found.clips} clips change their class (largest '
            f'difference of a probability {found.largest:.2f}): export without --int8.'
        )
    rows = [
        [name, f'{len(model) / 1e6:.1f}', f'{time:.1f}']
        for name, model, time in zip(
            ('float', 'int8'), (content, smaller), latencies([content, smaller], clips[1][0][0]), strict=True
        )
    ]
    header = ['', 'MB', 'ms a frame, one core', 'clips whose class changes', 'largest difference of a probability']
    cells = [['', ''], [f'{found.changed} of {found.clips}', f'{found.largest:.3f}']]
    return smaller, found, markdown(header, [[*row, *more] for row, more in zip(rows, cells, strict=True)])


def describe(source: str | Path, classifier: FrameClassifier, meta: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says of itself, as plain values."""
    return {
        'classes': classifier.classes,
        'frames': FRAMES_RULE,
        'size': classifier.size,
        'settings': asdict(classifier.settings),
        'training': None if classifier.training is None else pack_training(classifier.training),
        'source': file_source(source),
        'package': __version__,
        **kept_provenance(meta),
    }
