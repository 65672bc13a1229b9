"""Import the hosts without their false alarms."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

# Messages of MMCV, MMDetection and MMPretrain on import without mmcv's compiled ops. None of them concerns this plugin,
# and "This model cannot work without CUDA" (from one detector's head) suggests the wrong fix.
HARMLESS = (
    'Line NMS is not compiled',
    'Could not import OneDL',
    'Fail to import ``MultiScaleDeformableAttention``',
    'faster_coco_eval is not installed',
)


@contextmanager
def without_false_alarms() -> Iterator[None]:
    """Drop the messages in :data:`HARMLESS`; all other output and warnings pass."""
    from mmengine.logging import MMLogger

    def passes(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(HARMLESS)

    logger = MMLogger.get_current_instance()  # created before the redirection, because its handler keeps its stream
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
