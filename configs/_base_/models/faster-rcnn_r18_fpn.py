# Faster R-CNN with a ResNet-18 and FPN: MMDetection's own, but for the backbone, which is trained whole with its
# batch norms (MMDetection's base freezes the stem and all statistics), and for the input, which is what USCL
# pretrains with.
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

model = dict(
    data_preprocessor=dict(
        mean=[127.5, 127.5, 127.5],  # 0.5 of [0, 1]; released code
        std=[63.75, 63.75, 63.75],  # 0.25 of [0, 1]; released code
        bgr_to_rgb=True,
    ),
    backbone=dict(depth=18, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512]),
    roi_head=dict(bbox_head=dict(num_classes=1)),
)
