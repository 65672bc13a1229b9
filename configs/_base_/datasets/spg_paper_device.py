# Sample pair generation as in the paper and spg_paper.py, in two halves: workers only load three frames and draw the
# random numbers; SPGDataPreprocessor mixes and augments a whole batch on the model's device, GPU or CPU.
device_spg_pipeline = [  # another name, so that a config can inherit from both files
    dict(type='SampleVideoFrames', num_frames=3),  # Sec. 3
    dict(type='LoadVideoFrames', color_type='unchanged'),  # grey frames keep one channel until normalisation
    dict(
        type='DrawViews',  # each view gets its own random numbers, the same as with spg_paper.py
        scale=224,
        alpha=0.5,  # ξ ~ Beta(0.5, 0.5), Sec. 3
        beta=0.5,
        shared_ratio=False,  # ξ1 and ξ2 are drawn independently, Sec. 3
        # The paper mentions crop, flip, rotation and jitter (Sec. 4); their ranges are the released code's.
        crop_ratio_range=(0.8, 1.0),
        aspect_ratio_range=(0.8, 1.25),
        flip_prob=0.5,
        degrees=10,  # uniform in ±10
        brightness=0.8,
        contrast=0.8,
        saturation=0.8,
        hue=0.2,
    ),
    dict(type='PackFrames', meta_keys=('sample_idx', 'video_id', 'patient_id', 'frame_inds', 'mix_ratios')),
]
