_base_ = './resnet18.py'

model = dict(
    type='USCL',
    channels_last=True,  # faster, same results up to rounding
    data_preprocessor=dict(
        type='SelfSupDataPreprocessor',
        mean=[127.5, 127.5, 127.5],  # 0.5 for [0, 1]; released code, dataset_wrapper
        std=[63.75, 63.75, 63.75],  # 0.25 for [0, 1]; released code, dataset_wrapper
        to_rgb=True,
    ),
    neck=dict(  # two-layer projection with a ReLU between, 512-512-256; released code, resnet_simclr.py
        type='MoCoV2Neck', in_channels=512, hid_channels=512, out_channels=256, with_avg_pool=True
    ),
    head=dict(
        type='USCLHead',
        num_classes=12,  # US-4; set it to your number of classes
        in_channels=512,
        cls_input='representation',  # Sec. 3; the released code classifies the projection (in_channels=256)
        cls_weight=0.2,  # λ, Sec. 4
        loss_contrastive=dict(type='LightlyNTXentLoss', temperature=0.5, gather_distributed=True),  # τ, Sec. 4
    ),
)
