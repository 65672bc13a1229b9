# Neck and head of the methods that classify frames: pooling and a linear classifier.
frame_classifier = dict(
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=12,  # US-4; set model.head.num_classes to your number of classes
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
