# The paper's pretraining with a ResNet-50; the projection keeps two layers, 2048-2048-256 (released code,
# resnet_simclr.py: the first layer is as wide as the backbone's features).
_base_ = './uscl_resnet18_1xb32-300e_us4-224px.py'

model = dict(
    backbone=dict(depth=50),
    neck=dict(in_channels=2048, hid_channels=2048),
    head=dict(in_channels=2048),
)
