# Sample pair generation inside an MMDetection pipeline: MMDetection's own transforms augment each view of a video, and
# PackViews packs the pair, since PackDetInputs takes one image. This is only an example pipeline, without a model.
default_scope = 'mmdet'
custom_imports = dict(imports=['uscl_plugin', 'uscl_plugin.compat.mmcv_ops'], allow_failed_imports=False)

spg_pipeline = [
    dict(type='SampleVideoFrames', num_frames=3),  # Sec. 3
    dict(type='LoadVideoFrames', color_type='color'),
    dict(type='MixFrames', alpha=0.5, beta=0.5, out_dtype='uint8'),  # like a loaded image
    dict(
        type='TransformBroadcaster',  # each view gets its own random numbers
        mapping=dict(img='img'),
        auto_remap=True,
        share_random_params=False,
        transforms=[
            dict(type='AntialiasedResize', scale=224),  # from this package: MMDetection's samples single pixels
            # mmcv's: MMDetection's adds a key only to flipped views, but all views need the same keys.
            dict(type='mmengine.RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PhotoMetricDistortion'),  # returns float32
        ],
    ),
    dict(type='PackViews', meta_keys=('sample_idx', 'video_id', 'patient_id', 'frame_inds', 'mix_ratios')),
]
