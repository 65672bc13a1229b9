# SimSiam (Chen & He, CVPR 2021) on USCL's pairs, MMPretrain's algorithm: no negatives and no average, the projection of
# one view predicts that of the other, which gets no gradient. Optimiser and schedule are USCL's instead of SGD 0.05.
_base_ = '../uscl/uscl_resnet18_1xb32-300e_us4-224px.py'

_rate = 3e-4  # of USCL, as all methods here
model = dict(
    _delete_=True,
    type='SimSiam',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    neck=dict(
        type='NonLinearNeck',
        in_channels=512,  # of ResNet-18
        hid_channels=2048,  # SimSiam, Sec. 3
        out_channels=2048,  # SimSiam, Sec. 3
        num_layers=3,  # SimSiam, Sec. 3
        with_last_bn_affine=False,  # MMPretrain's config, and the authors' code
        with_avg_pool=True,
        norm_cfg=dict(type='BN1d'),  # one device; MMPretrain's default is SyncBN
    ),
    head=dict(
        type='LatentPredictHead',
        predictor=dict(
            type='NonLinearNeck',
            in_channels=2048,
            hid_channels=512,  # SimSiam, Sec. 3: a quarter
            out_channels=2048,
            with_last_bn=False,  # SimSiam, Sec. 3
            with_last_bias=True,  # the authors' code
            with_avg_pool=False,
            norm_cfg=dict(type='BN1d'),
        ),
        loss=dict(type='CosineSimilarityLoss'),
    ),
)
# The predictor keeps its rate while the others' falls (SimSiam, Sec. 4.2). Set both to change it.
optim_wrapper = dict(optimizer=dict(lr=_rate), paramwise_cfg=dict(custom_keys={'predictor': dict(fix_lr=True)}))
default_hooks = dict(predictor_rate=dict(type='SimSiamHook', fix_pred_lr=True, lr=_rate, adjust_by_epoch=False))
