# Barlow Twins (Zbontar et al., ICML 2021) on USCL's pairs, MMPretrain's algorithm: the correlations between the outputs
# of both views over the batch are to be the identity. Optimiser and schedule are USCL's instead of LARS for 2,048.
_base_ = '../uscl/uscl_resnet18_1xb32-300e_us4-224px.py'

# 8,192 in Barlow Twins, Sec. 2.2, with batches of 2,048. The correlations of 32 pairs have a rank below 32: with ones
# on the diagonal, the squares off it add up to D²/31 - D or more, times λ 167 for D = 1,024, and 11,000 for 8,192.
_width = 1024
model = dict(
    _delete_=True,
    type='BarlowTwins',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    neck=dict(
        type='NonLinearNeck',
        in_channels=512,  # of ResNet-18
        hid_channels=_width,  # all three layers have one width; Sec. 2.2
        out_channels=_width,
        num_layers=3,  # Sec. 2.2
        with_last_bn=False,  # Sec. 2.2
        with_last_bn_affine=False,
        with_avg_pool=True,
        norm_cfg=dict(type='BN1d'),  # one device; MMPretrain's default is SyncBN
        init_cfg=dict(type='Kaiming', distribution='uniform', layer=['Linear']),  # MMPretrain's config
    ),
    head=dict(
        type='LatentCrossCorrelationHead',
        in_channels=_width,  # of the neck
        loss=dict(type='CrossCorrelationLoss', lambd=0.0051),  # λ; the authors' code, 0.005 in Sec. 2.2
    ),
)
