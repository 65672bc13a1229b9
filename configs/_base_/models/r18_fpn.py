# What the detectors change in MMDetection's own: the backbone, which is trained whole with its batch norms
# (MMDetection's base freezes the stem and all statistics), and the input, which is what USCL pretrains with.
r18_fpn = dict(
    data_preprocessor=dict(
        mean=[127.5, 127.5, 127.5],  # 0.5 of [0, 1]; released code
        std=[63.75, 63.75, 63.75],  # 0.25 of [0, 1]; released code
        bgr_to_rgb=True,
    ),
    backbone=dict(
        depth=18,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
        zero_init_residual=False,  # residual branches start at 1, as torchvision's; MMDetection's default is 0
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
