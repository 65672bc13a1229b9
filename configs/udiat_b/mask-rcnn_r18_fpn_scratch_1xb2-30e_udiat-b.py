# Mask R-CNN, ResNet-18 with FPN, on UDIAT-B from random weights. 113 train / 50 val (Sec. 4):
#   python tools/dataset_converters/lesions_to_coco.py udiat_b SRC --out data/udiat_b --val 50
_base_ = [
    '../_base_/models/mask-rcnn_r18_fpn.py',
    '../_base_/datasets/lesions.py',
    '../_base_/schedules/sgd_30e.py',
    '../_base_/detection_runtime.py',
]
