# FixMatch (Sohn et al., NeurIPS 2020): if the weak view of a frame is classified with confidence, that class is the
# label of the strong view. The authors evaluate a moving average of the weights; over the few steps of a short run it
# would contain much of the random start, so it is off: dict(type='EMAHook', momentum=0.001) in custom_hooks adds it.
_base_ = ['../uscl/uscl_resnet18_1xb32-300e_us4-224px.py', '../_base_/models/frame_classifier.py']

weak = _base_.spg_crop_and_flip
strong = dict(  # RandAugment, two operations of random magnitude (Sec. 2.3); ranges of timm, without the paper's Cutout
    type='RandAugment',
    policies='timm_increasing',
    num_policies=2,
    total_level=10,
    magnitude_level=10,
    magnitude_std='inf',  # uniform from none to full
)
pipeline = [
    dict(type='SampleVideoFrames', num_frames=1),
    dict(type='LoadVideoFrames', color_type='color'),
    dict(type='FrameAsImage'),
    dict(type='MultiView', num_views=[1, 1], transforms=[weak, [*weak, strong]]),
    dict(type='PackInputs', meta_keys=_base_.spg_meta_keys),
]

model = dict(
    _delete_=True,
    type='FixMatch',
    threshold=0.95,  # τ; Table 4
    unlabelled_weight=1.0,  # λ_u; Table 4
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    **_base_.frame_classifier,
)
train_dataloader = dict(dataset=dict(pipeline=pipeline))
default_hooks = dict(
    contrastive_monitor=dict(interval=0),  # off: a classifier has no negatives
    pair_pictures=dict(interval=0),
)
