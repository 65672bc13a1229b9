# Shared by all detectors. The second import only has an effect if mmcv's own ops are not compiled.
_base_ = 'mmdet::_base_/default_runtime.py'

custom_imports = dict(
    imports=['uscl_plugin', 'uscl_plugin.compat.mmcv_ops', 'uscl_plugin.detection'], allow_failed_imports=False
)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=10),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2, backend_args=dict(backend='atomic')),
    sample_seed=dict(type='SampleSeedHook'),  # draws depend only on (seed, epoch, image, occurrence)
    plain_checkpoint=dict(type='PlainCheckpointHook'),  # checkpoints load without pickle
    # All tensors of the backbone must be loaded, and mean, std and channel order must agree:
    backbone_check=dict(type='BackboneCheckHook'),
    # Heads and classes, training and validation, checkpoint and model must agree:
    lesion_check=dict(type='LesionCheckHook'),
    class_check=dict(type='ClassCheckHook'),  # a tested checkpoint must have the classes of the data
    finite_loss=dict(type='FiniteLossHook'),  # a NaN or infinite loss stops the run, names the images, saves the batch
    backbone_health=dict(type='BackboneHealthHook'),  # at the end: warns about closed residual branches
    provenance=dict(type='ProvenanceHook'),  # meta.uscl of checkpoints: backbone, input, digests of the training data
)
randomness = dict(seed=0, deterministic=False)
