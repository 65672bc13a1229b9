# HiCo (Zhang et al., ACCV 2022): local, medium and global features of USCL's pairs are contrasted, and labels softened.
# Pairs, augmentation, schedule and random start are USCL's here; the authors start from ImageNet, augment before they
# mix, and have all labels. Numbers without another source are those of their code. The neck has 260 million weights at
# 224 px and 21 million at 64 px.
_base_ = '../uscl/uscl_resnet18_1xb32-300e_us4-224px.py'

model = dict(
    type='HiCo',
    input_size=224,  # that of the views: the neck embeds whole maps
    neck=dict(_delete_=True, type='LevelNeck', channels=256, out_channels=256),
    head=dict(
        _delete_=True,
        type='HiCoHead',
        num_classes=12,  # US-4; set it to your number of classes
        in_channels=512,
        hid_channels=256,
        cls_weight=0.2,
        softness=0.2,
        loss_contrastive=dict(type='LightlyNTXentLoss', temperature=0.5, gather_distributed=True),
    ),
)
