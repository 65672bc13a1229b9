# Meta-USCL (Chen et al., IEEE TMI 2022): USCL's pairs without labels, each weighted by a net that is learnt with them.
# Input, augmentation after mixing, projection and the shape of the schedule are USCL's here; the authors use 64 px, a
# projection to 128 channels and a warm-up of ten epochs. Numbers without another source are those of their code.
_base_ = '../uscl/uscl_resnet18_1xb32-300e_us4-224px.py'

pipeline = [
    dict(type='SampleSpacedFrames'),
    dict(type='LoadVideoFrames', color_type='color'),
    dict(
        type='MixFrames',
        alpha=5,  # the share of the anchor is from Beta(3, 5), that of the other frame from Beta(5, 3)
        beta=3,
        shared_ratio=False,
        out_dtype='uint8',
    ),
    dict(type='AddMetaPair', color_type='color'),  # the first frame, twice
    dict(
        type='TransformBroadcaster',  # each view gets its own random numbers
        mapping=dict(img='img'),
        auto_remap=True,
        share_random_params=False,
        transforms=_base_.spg_augmentation,
    ),
    dict(type='PackInputs', meta_keys=_base_.spg_meta_keys),
]

model = dict(
    type='MetaUSCL',
    head=dict(
        _delete_=True,
        type='PairWeightHead',
        in_channels=512,
        hid_channels=10,  # of the weight net, 1024-10-1
        lr=6e-5,  # of its Adam
        loss_contrastive=dict(type='LightlyNTXentLoss', temperature=0.5, gather_distributed=True),
    ),
)
train_dataloader = dict(
    batch_size=16,  # pairs and as many meta pairs: 64 views, as USCL; 32 and 32 in the authors' code
    dataset=dict(pipeline=pipeline),
)
train_cfg = dict(max_epochs=150)  # with four views per video: as many views as 300 epochs with two
param_scheduler = [dict(type='CosineAnnealingLR', T_max=150, eta_min=0, by_epoch=True, begin=5, end=150)]
optim_wrapper = dict(
    optimizer=dict(  # the virtual step is SGD's, so this method cannot have USCL's Adam
        _delete_=True,
        type='SGD',
        lr=0.05,  # 0.1 for 32 pairs
        momentum=0.9,
        weight_decay=1e-4,
    ),
)
# Fewer pairs get a smaller rate: five collapsed at 0.1, also without weights, and did not at 0.015.
auto_scale_lr = dict(base_batch_size=16, enable=True)
