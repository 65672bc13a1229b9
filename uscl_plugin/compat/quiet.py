"""Import the hosts without their false alarms."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

# What MMCV, MMDetection and MMPretrain say on import where mmcv's ops are not compiled. None of it concerns this
# plugin, and "This model cannot work without CUDA" (of one detector's head) sends its readers to the wrong repair.
HARMLESS = (
    'Line NMS is not compiled',
    'Could not import OneDL',
    'Fail to import ``MultiScaleDeformableAttention``',
    'faster_coco_eval is not installed',
)


@contextmanager
def without_false_alarms() -> Iterator[None]:
    """Drop the messages of :data:`HARMLESS`; every other output and warning passes."""
    from mmengine.logging import MMLogger

    def passes(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(HARMLESS)

    logger = (
        MMLogger.get_current_instance()
    )  # made before the redirection: its handler keeps the stream it is born with
    logger.addFilter(passes)
    printed = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(printed):
            for message in HARMLESS:
                warnings.filterwarnings('ignore', message=message)
            yield
    finally:
        logger.removeFilter(passes)
        for line in printed.getvalue().splitlines():
            if not line.startswith(HARMLESS):
                print(line)
