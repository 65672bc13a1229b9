# MoCo v3 (Chen et al., ICCV 2021) on USCL's pairs, MMPretrain's algorithm: keys come from an average of the network,
# negatives from the batch instead of a queue. Optimiser and schedule are USCL's instead of LARS for 4,096.
_base_ = '../uscl/uscl_resnet18_1xb32-300e_us4-224px.py'

_temperature = 1.0  # for ResNets, MMPretrain's config; 0.2 for ViT
_layers = dict(  # MMPretrain's config for ResNets: 4096, batch norm, ReLU, 256
    type='NonLinearNeck',
    hid_channels=4096,
    out_channels=256,
    num_layers=2,
    with_last_bn_affine=False,
    norm_cfg=dict(type='BN1d'),  # one device; MMPretrain's default is SyncBN
)
model = dict(
    _delete_=True,
    type='MoCoV3',
    base_momentum=0.01,  # 1 - 0.99; MMPretrain's config for 300 epochs. A cosine takes it to 0 at the end of the run.
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    neck=dict(**_layers, in_channels=512, with_last_bn=True, with_avg_pool=True),  # of ResNet-18
    head=dict(
        type='MoCoV3Head',
        predictor=dict(**_layers, in_channels=256, with_last_bn=False, with_avg_pool=False),
        loss=dict(type='CrossEntropyLoss', loss_weight=2 * _temperature),  # 2τ; MoCo v3, Algorithm 1
        temperature=_temperature,
    ),
)
