# Pi-model (Laine & Aila, ICLR 2017): two augmentations of a frame should be classified alike.
_base_ = ['../uscl/uscl_resnet18_1xb32-300e_us4-224px.py', '../_base_/models/frame_classifier.py']

model = dict(
    _delete_=True,
    type='PiModel',
    w_max=100.0,  # of the consistency loss, times the labelled fraction; Appendix A
    ramp_up=80 / 300,  # 80 epochs of 300; Appendix A
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    **_base_.frame_classifier,
)
train_dataloader = dict(
    dataset=dict(steps=dict(SampleVideoFrames=dict(num_frames=1))),  # both views are from one frame
)
default_hooks = dict(
    contrastive_monitor=dict(interval=0),  # off: a classifier has no negatives
    pair_pictures=dict(interval=0),
    training_set=dict(type='TrainingSetHook'),
)
