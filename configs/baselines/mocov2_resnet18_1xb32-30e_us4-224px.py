# MoCo v2 (Chen et al., 2020) on frames, MMPretrain's algorithm: negatives come from a queue of earlier keys. Its
# shuffled batch norm does nothing on one device: the statistics of a batch can tell its keys from those of the queue.
_base_ = './simclr_resnet18_1xb32-30e_us4-224px.py'

model = dict(
    _delete_=True,
    type='MoCo',
    queue_len=4096,  # 65,536 in MoCo, with 1.3 million images; here an epoch has 8,400 frames
    feat_dim=256,
    momentum=0.001,  # 1 - 0.999; MoCo, Sec. 3.2
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    neck=_base_.model.neck,  # MoCo v2's own has 2,048 hidden channels, for ResNet-50
    head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2),  # MoCo v2, MLP head
)
train_dataloader = dict(batch_sampler=None, drop_last=True)  # the queue only takes whole batches
