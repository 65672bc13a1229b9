"""A classifier's prediction for a DICOM clip as a structured report (DICOM SR, template TID 1500)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uscl.version import __version__

from .dicom_result import MAKER, NOTICE, UsedModel, instance_facts, private_code, save_result

if TYPE_CHECKING:
    from highdicom.sr import MeasurementReport
    from pydicom import Dataset


def write_report(row: Mapping[str, Any], model: UsedModel, folder: str | Path) -> Path:
    """Write a measurement report.

    It holds the probability of every class, the fraction of frames that agree, the predicted class, whether the clip is
    far from the training data if that is known, the model's name, version and digest, and that this is not a medical
    device. Patient and study are those of the clip; nobody is named as an observer.

    Args:
        row: What ``FrameClassifier.predict`` gives, with ``clip``, the path of a DICOM file.
        model: See :class:`~.dicom_result.UsedModel`.
        folder: Created if needed.

    Returns:
        The file, see :func:`~.dicom_result.save_result`.

    Raises:
        ClipError: The clip is not DICOM, or no report can refer to it.
    """

    def make(header: 'Dataset', uid: str) -> 'Dataset':
        from highdicom.sr import ComprehensiveSR

        return ComprehensiveSR(
            evidence=[header],
            content=_content(row, model, header)[0],
            **instance_facts(uid),
            is_complete=True,
        )

    return save_result(Path(row['clip']), model, Path(folder), make)


def _content(row: Mapping[str, Any], model: UsedModel, header: 'Dataset') -> 'MeasurementReport':
    from highdicom import sr
    from pydicom.sr.codedict import codes

    algorithm = sr.AlgorithmIdentification(
        name=model.name,
        version=__version__,
        parameters=[f'{key}: {value}' for key, value in model.facts.items()],
        manufacturer=MAKER,
    )
    shares = {f'Probability of {name}': share for name, share in row['probabilities'].items()}
    shares['Fraction of frames that agree'] = row['agreement']
    said = {'Predicted class': str(row['predicted'])}
    if row['unusual'] is not None:
        said['Far from the training data'] = 'yes' if row['unusual'] else 'no'
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(identifier='Clip'),
        algorithm_id=algorithm,
        measurements=[
            sr.Measurement(private_code(name), float(share), codes.UCUM.NoUnits) for name, share in shares.items()
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(private_code(name), private_code(value)) for name, value in said.items()
        ],
        source_images=[sr.SourceImageForMeasurementGroup(header.SOPClassUID, header.SOPInstanceUID)],
    )
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=_device_uid(model), name=MAKER, manufacturer_name=MAKER, model_name=model.name
    )
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_device_context=sr.ObserverContext(codes.DCM.Device, device),
        ),
        procedure_reported=codes.SCT.DiagnosticUltrasonography,
        imaging_measurements=[group],
        title=codes.DCM.ImagingMeasurementReport,
    )
    report[0].ContentSequence.append(
        sr.TextContentItem(codes.DCM.Comment, NOTICE, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    )
    return report


def _device_uid(model: UsedModel) -> str:
    from uuid import UUID

    return f'2.25.{UUID(model.digest[:32], version=5).int}'
