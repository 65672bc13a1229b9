# IVPP with the SimCLR objective (VanBerlo et al., Frontiers in Imaging 2024): two frames of a video close in time are a
# pair, which counts the more, the closer they are. Network, augmentation, optimiser and schedule are USCL's.
_base_ = '../uscl/uscl_resnet18_1xb32-300e_us4-224px.py'

pipeline = [
    dict(
        type='SampleNearbyPair',
        delta_t=1.5,  # seconds; the authors' settings for SimCLR
        weighted=True,  # the authors' settings for SimCLR
    ),
    *_base_.spg_pipeline[1:-1],  # two frames are not mixed
    dict(type='PackInputs', meta_keys=(*_base_.spg_meta_keys, 'pair_weight')),
]
model = dict(
    head=dict(
        _delete_=True,
        type='WeightedPairHead',
        loss_contrastive=dict(
            type='WeightedNTXentLoss',
            temperature=0.1,  # τ; the authors' settings
            gather_distributed=True,
        ),
    ),
)
train_dataloader = dict(dataset=dict(pipeline=pipeline))
