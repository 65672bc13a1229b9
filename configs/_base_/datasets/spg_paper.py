# Sample pair generation as in the paper: three frames in time order, mix, then augment each view.
# The paper mentions crop, flip, rotation and jitter (Sec. 4); their ranges are the released code's.
spg_crop_and_flip = [
    dict(  # the window is drawn on the frame squashed to a square, as the released code does
        type='AntialiasedRandomResizedCrop',
        scale=224,  # Sec. 4
        crop_ratio_range=(0.8, 1.0),
        aspect_ratio_range=(0.8, 1.25),
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
]
spg_augmentation = [
    *spg_crop_and_flip,
    dict(  # uniform in ±10 degrees
        type='Rotate',
        magnitude_level=1,
        magnitude_range=(0, 10),
        magnitude_std='inf',
        total_level=1,
        prob=1.0,
        pad_val=0,
        interpolation='bilinear',
    ),
    dict(type='ColorJitter', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2),
]
spg_meta_keys = ('sample_idx', 'video_id', 'patient_id', 'frame_inds', 'mix_ratios')
spg_pipeline = [
    dict(type='SampleVideoFrames', num_frames=3),  # Sec. 3
    dict(type='LoadVideoFrames', color_type='color'),
    dict(
        type='MixFrames',
        alpha=0.5,  # ξ ~ Beta(0.5, 0.5), Sec. 3
        beta=0.5,
        shared_ratio=False,  # ξ1 and ξ2 are drawn independently, Sec. 3
        out_dtype='uint8',  # the only type that ColorJitter takes
    ),
    dict(
        type='TransformBroadcaster',  # each view gets its own random numbers
        mapping=dict(img='img'),
        auto_remap=True,
        share_random_params=False,
        transforms=spg_augmentation,
    ),
    dict(type='PackInputs', meta_keys=spg_meta_keys),
]
