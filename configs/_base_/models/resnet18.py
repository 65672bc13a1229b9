# The backbone of all MMPretrain models here.
model = dict(
    backbone=dict(
        type='ResNet',
        depth=18,  # Sec. 4
        out_indices=(3,),
        norm_cfg=dict(type='BN'),
        norm_eval=False,
        # Residual branches start at 1, as in torchvision and the released code. MMPretrain's default starts them at 0,
        # and Adam at 3e-4 opens them by at most 3e-4 per step: a short run would not train a residual network.
        zero_init_residual=False,
    ),
)
