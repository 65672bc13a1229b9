# USCL as in the authors' released code, where it differs from the paper: augment each frame, then mix with one ratio;
# the classifier sees the 256-d projection.
_base_ = [
    '../_base_/models/uscl_resnet18.py',
    '../_base_/datasets/us4.py',
    '../_base_/datasets/spg_released.py',
    '../_base_/schedules/adam_300e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(in_channels=256, cls_input='projection'))
train_dataloader = dict(dataset=dict(pipeline=_base_.spg_pipeline))
