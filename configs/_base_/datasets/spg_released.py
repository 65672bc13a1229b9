# Sample pair generation as in the released code: three frames, augment each, then mix with one ratio.
# (There the frame drawn second is the anchor, whatever its time; here the anchor is still the middle frame.)
spg_pipeline = [
    dict(type='SampleVideoFrames', num_frames=3),
    dict(type='LoadVideoFrames', color_type='color'),
    dict(
        type='TransformBroadcaster',  # each frame gets its own random numbers
        mapping=dict(img='imgs'),
        auto_remap=True,
        share_random_params=False,
        transforms=[  # released code, dataset_wrapper; its rotation is disabled
            dict(type='AntialiasedResize', scale=224),  # so that the crop is resized twice, as in the released code
            dict(
                type='AntialiasedRandomResizedCrop',
                scale=224,
                crop_ratio_range=(0.8, 1.0),
                aspect_ratio_range=(0.8, 1.25),
            ),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='ColorJitter', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2),
        ],
    ),
    dict(type='MixFrames', alpha=0.5, beta=0.5, shared_ratio=True, out_dtype='float32'),
    dict(type='PackInputs', meta_keys=('sample_idx', 'video_id', 'patient_id', 'frame_inds', 'mix_ratios')),
]
