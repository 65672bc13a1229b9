"""Say once, in the log of the run, that the replacement is in use."""

from functools import cache

from mmengine.logging import print_log

reason = ''  # why mmcv._ext could not be imported


@cache
def announce() -> None:
    """Log it at the first op, not on import: by then the run has its log file."""
    print_log(
        f"mmcv's ops come from torchvision and PyTorch (uscl_plugin.compat.mmcv_ops); compiled mmcv: {reason}.",
        logger='current',
    )
