# SimCLR (Chen et al., ICML 2020) on frames: both views are from one frame, frames of one video may be negatives of each
# other, and no labels are used. It is USCL's network and loss with three switches.
_base_ = '../uscl/uscl_resnet18_1xb32-300e_us4-224px.py'

model = dict(head=dict(cls_weight=0.0))  # contrastive loss only
train_dataloader = dict(dataset=dict(samples_per_video=10, steps=dict(SampleVideoFrames=dict(num_frames=1))))
train_cfg = dict(max_epochs=30)  # with ten frames per video: as many views as 300 epochs with one pair per video
param_scheduler = [dict(type='CosineAnnealingLR', T_max=30, eta_min=0, by_epoch=True, begin=1, end=30)]
