optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=5e-4),  # rate: Sec. 4; the rest: later work
    clip_grad=dict(max_norm=35, norm_type=2),  # see below
)
param_scheduler = [
    # Like MMDetection's warm-up, but in 100 iterations because there are few images. Without it and without
    # gradient clipping the mask loss exploded: short runs ended in NaN.
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', begin=0, end=30, by_epoch=True, milestones=[10, 20], gamma=0.1),  # the authors' later work
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=1)  # the authors' later work
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=2)
