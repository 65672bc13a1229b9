# UCL (Basu et al., MICCAI 2022): an anchor, a near frame as positive, and hard negatives of this and of other videos.
# Input, augmentation, projection, optimiser and random start are USCL's here. The authors train an ImageNet ResNet-50
# with a 2048-2048-128 projection, random crops alone, SGD 0.003, 32 videos a batch and 60 epochs. Numbers without
# another source are those of their code.
_base_ = '../uscl/uscl_resnet18_1xb32-300e_us4-224px.py'

pipeline = [
    dict(type='SampleHardNegatives', num_negatives=3),
    dict(type='LoadVideoFrames', color_type='color'),
    dict(
        type='TransformBroadcaster',  # each of the five frames gets its own random numbers
        mapping=dict(img='imgs'),
        remapping=dict(img='img'),
        share_random_params=False,
        transforms=_base_.spg_augmentation,
    ),
    dict(type='PackInputs', meta_keys=_base_.spg_meta_keys),
]

model = dict(
    _delete_=True,
    type='UCL',
    num_nearest=4,  # of a batch's 96 negatives; of 36 here
    temperature=0.07,  # also of the blended negative
    momentum=0.001,  # 1 - 0.999
    warm_up=10 / 60,  # 10 epochs of 60 with the blended negative alone
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    neck=_base_.model.neck,
)
train_dataloader = dict(
    batch_size=12,  # videos of five views: 60 views, where USCL has 64
    dataset=dict(pipeline=pipeline),
)
train_cfg = dict(max_epochs=120)  # with five views per video: as many views as 300 epochs with two
param_scheduler = [dict(type='CosineAnnealingLR', T_max=120, eta_min=0, by_epoch=True, begin=4, end=120)]
auto_scale_lr = dict(base_batch_size=12)
