"""Annotations of a COCO file as pycocotools looks them up."""

from contextlib import redirect_stdout
from io import StringIO

from mmdet.datasets.api_wrappers import COCO

from uscl.data.coco_file import repair_coco


def index_coco(content: dict) -> COCO:
    """Index the content of a COCO file without faults, repaired by :func:`uscl.data.coco_file.repair_coco`."""
    repair_coco(content)
    coco = COCO()
    coco.dataset = content
    with redirect_stdout(StringIO()):  # pycocotools tells what it does
        coco.createIndex()
    coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs  # MMDetection's names
    return coco
