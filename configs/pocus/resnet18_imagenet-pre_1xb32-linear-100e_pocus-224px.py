# Like ./resnet18_1xb32-linear-100e_pocus-224px.py, from torchvision's ImageNet weights (download them first).
_base_ = './resnet18_1xb32-linear-100e_pocus-224px.py'

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),  # torchvision's, for 0..255
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='resnet18-f37072fd.pth')),
)
