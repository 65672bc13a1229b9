# Frames of lung clips, converted by tools/dataset_converters/pocus.py (or videos_to_clusters.py), three classes.
# tools/evaluate.py makes the patient-wise folds; MMPretrain's tools read them from `fold_file`.
_meta_keys = ('sample_idx', 'img_path', 'frame', 'video_id', 'patient_id', 'split')

train_pipeline = [  # released code, eval_pretrained_model.py
    dict(type='LoadFrame'),  # from the frame store or an image file
    dict(  # the window is drawn on the frame squashed to a square
        type='AntialiasedRandomResizedCrop', scale=224, crop_ratio_range=(0.8, 1.0), aspect_ratio_range=(0.8, 1.25)
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs', meta_keys=_meta_keys),
]
test_pipeline = [
    dict(type='LoadFrame'),  # from the frame store or an image file
    dict(type='AntialiasedResize', scale=224),
    dict(type='PackInputs', meta_keys=_meta_keys),
]
train_dataloader = dict(
    batch_size=32,  # released code, eval_pretrained_model.py
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='VideoFrameDataset',
        data_root='data/pocus',
        fold_file='folds.json',
        fold=0,  # of five; Sec. 4
        split='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='VideoFrameDataset',
        data_root='data/pocus',
        fold_file='folds.json',
        fold=0,
        split='val',  # the inner validation part, by patient; the paper selects on the test fold
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='VideoFrameDataset',
        data_root='data/pocus',
        fold_file='folds.json',
        fold=0,
        split='test',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
val_evaluator = dict(type='VideoClassificationMetric')
test_evaluator = dict(type='VideoClassificationMetric')
val_cfg = dict()
test_cfg = dict()
