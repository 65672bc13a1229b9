# POCUS, training the whole network. Not in the paper: the rate is that of pretraining; 0.01 suits a classifier.
_base_ = [
    '../_base_/models/resnet18_classifier.py',
    '../_base_/datasets/pocus.py',
    '../_base_/schedules/finetune_adam_100e.py',
    '../_base_/finetune_runtime.py',
]

optim_wrapper = dict(optimizer=dict(lr=3e-4))
find_unused_parameters = False
