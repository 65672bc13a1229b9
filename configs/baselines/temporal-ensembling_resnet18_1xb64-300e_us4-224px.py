# Temporal ensembling (Laine & Aila, ICLR 2017): every sample should be classified as on average in previous epochs.
# Each video has two samples, each of which draws one frame per epoch, so the target is that of the video's frames.
_base_ = ['../uscl/uscl_resnet18_1xb32-300e_us4-224px.py', '../_base_/models/frame_classifier.py']

pipeline = [
    dict(type='SampleVideoFrames', num_frames=1),
    dict(type='LoadVideoFrames', color_type='color'),
    dict(type='FrameAsImage'),
    *_base_.spg_augmentation,
    dict(type='PackInputs', meta_keys=_base_.spg_meta_keys),
]

model = dict(
    _delete_=True,
    type='TemporalEnsembling',
    alpha=0.6,  # of the ensemble; Appendix A
    w_max=30.0,  # of the consistency loss, times the labelled fraction; Appendix A
    ramp_up=80 / 300,  # 80 epochs of 300; Appendix A
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    **_base_.frame_classifier,
)
train_dataloader = dict(
    batch_size=64,  # frames, one view each
    dataset=dict(samples_per_video=2, pipeline=pipeline),  # as many views per epoch as USCL
)
default_hooks = dict(
    contrastive_monitor=dict(interval=0),  # off: a classifier has no negatives
    pair_pictures=dict(interval=0),
    training_set=dict(type='TrainingSetHook'),
)
auto_scale_lr = dict(base_batch_size=64)  # frames
