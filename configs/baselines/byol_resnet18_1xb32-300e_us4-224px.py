# BYOL (Grill et al., NeurIPS 2020) on USCL's pairs, MMPretrain's algorithm: no negatives, the projection of one view
# predicts that of the other by an average of the network. Optimiser and schedule are USCL's instead of LARS for 4,096.
_base_ = '../uscl/uscl_resnet18_1xb32-300e_us4-224px.py'

_layers = dict(  # BYOL, Sec. 3.3: 4096, batch norm, ReLU, 256
    type='NonLinearNeck',
    hid_channels=4096,
    out_channels=256,
    num_layers=2,
    with_bias=True,  # MMPretrain's config
    with_last_bn=False,
    norm_cfg=dict(type='BN1d'),  # one device; MMPretrain's default is SyncBN
)
model = dict(
    _delete_=True,
    type='BYOL',
    base_momentum=0.01,  # 1 - 0.99; MMPretrain's config for 200 epochs. A cosine takes it to 0 at the end of the run.
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    neck=dict(**_layers, in_channels=512, with_avg_pool=True),  # of ResNet-18
    head=dict(
        type='LatentPredictHead',
        predictor=dict(**_layers, in_channels=256, with_avg_pool=False),
        loss=dict(type='CosineSimilarityLoss'),
    ),
)
