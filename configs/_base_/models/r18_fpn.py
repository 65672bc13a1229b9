# Changes to MMDetection's base models: the backbone, which is fully trained including its batch norms
# (MMDetection's base freezes the stem and all statistics), and the input, which is that of USCL pretraining.
r18_fpn = dict(
    data_preprocessor=dict(
        mean=[127.5, 127.5, 127.5],  # 0.5 for [0, 1]; released code
        std=[63.75, 63.75, 63.75],  # 0.25 for [0, 1]; released code
        bgr_to_rgb=True,
    ),
    backbone=dict(
        depth=18,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
        zero_init_residual=False,  # residual branches start at 1, as in torchvision; MMDetection's default is 0
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
