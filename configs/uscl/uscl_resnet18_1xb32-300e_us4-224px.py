# USCL (Chen et al., MICCAI 2021), ResNet-18 on US-4: the paper's pretraining. Section numbers are the paper's.
_base_ = [
    '../_base_/models/uscl_resnet18.py',
    '../_base_/datasets/us4.py',
    '../_base_/datasets/spg_paper.py',
    '../_base_/schedules/adam_300e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(dataset=dict(pipeline=_base_.spg_pipeline))
