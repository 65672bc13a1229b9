"""From breast ultrasound images with lesion masks to COCO annotations; no OpenMMLab package is needed here."""
