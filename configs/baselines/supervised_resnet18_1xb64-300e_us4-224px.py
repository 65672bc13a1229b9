# Supervised: cross-entropy on only the labelled videos, one frame per sample. Data, augmentation, optimiser and
# schedule are those of USCL; so are steps and views: 64 views of one frame each, where USCL has 32 pairs.
_base_ = ['../uscl/uscl_resnet18_1xb32-300e_us4-224px.py', '../_base_/models/frame_classifier.py']

pipeline = [
    dict(type='SampleVideoFrames', num_frames=1),
    dict(type='LoadVideoFrames', color_type='color'),
    dict(type='FrameAsImage'),
    *_base_.spg_augmentation,
    dict(type='PackInputs', meta_keys=_base_.spg_meta_keys),
]

model = dict(
    _delete_=True,
    type='ImageClassifier',
    data_preprocessor={**_base_.model.data_preprocessor, 'type': 'ClsDataPreprocessor'},
    backbone=_base_.model.backbone,
    **_base_.frame_classifier,
)
train_dataloader = dict(
    batch_size=64,  # frames, one view each
    dataset=dict(
        keep_unlabelled=False,
        # 1 %, at least one per class, labels 16 of US-4's 840 training videos (15 to 18, depending on class sizes).
        samples_per_video=105,  # 16 x 105: as many views per epoch as two from each of all 840
        pipeline=pipeline,
    ),
)
default_hooks = dict(
    contrastive_monitor=dict(interval=0),  # off: a classifier has no negatives
    pair_pictures=dict(interval=0),
)
auto_scale_lr = dict(base_batch_size=64)  # frames
