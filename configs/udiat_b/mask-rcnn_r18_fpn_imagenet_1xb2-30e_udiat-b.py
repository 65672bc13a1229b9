# Like ./mask-rcnn_r18_fpn_scratch_1xb2-30e_udiat-b.py, from torchvision's ImageNet weights (download them first).
_base_ = './mask-rcnn_r18_fpn_scratch_1xb2-30e_udiat-b.py'

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),  # torchvision's, for 0..255
    backbone=dict(init_cfg=dict(_delete_=True, type='Pretrained', checkpoint='resnet18-f37072fd.pth')),
)
