_base_ = './resnet18.py'

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(  # as in USCL pretraining; released code, eval_pretrained_model.py
        type='ClsDataPreprocessor',
        num_classes=3,
        mean=[127.5, 127.5, 127.5],  # 0.5 for [0, 1]
        std=[63.75, 63.75, 63.75],  # 0.25 for [0, 1]
        to_rgb=True,
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=3,  # COVID-19, pneumonia, regular; Sec. 4
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
