# The paper's method, small enough for two cores and a few minutes: 15 openly licensed lung clips, 64 px.
# For a first run with `uscl train`; `make demo` makes its own config with `uscl pretrain`.
_base_ = './uscl_resnet18_1xb32-300e_us4-224px.py'

model = dict(head=dict(num_classes=3))  # covid, pneumonia, regular
train_dataloader = dict(
    num_workers=0,  # one step per epoch: nothing to prefetch
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(
        data_root='work_dirs/demo/data',
        split=None,
        label_map=None,
        label_fraction=1.0,  # of 15 videos
        frame_range=(0.0, 0.75),  # the last quarter of each clip stays unseen, for the report
        steps=dict(AntialiasedRandomResizedCrop=dict(scale=64)),  # 224 in the paper
    ),
)
train_cfg = dict(max_epochs=200)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=200, eta_min=0, by_epoch=True, begin=10, end=200)]
default_hooks = dict(checkpoint=dict(interval=100, max_keep_ckpts=2))
