# Shared by all runs on a pretrained backbone.
_base_ = './default_runtime.py'

default_hooks = dict(
    _delete_=True,  # the pretraining hooks monitor pairs
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=10),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        interval=5,
        max_keep_ckpts=2,
        save_best='frame/accuracy',
        rule='greater',
        backend_args=dict(backend='atomic'),  # complete files only, even if the run is killed
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sample_seed=dict(type='SampleSeedHook'),  # draws depend only on (seed, epoch, frame, occurrence)
    plain_checkpoint=dict(type='PlainCheckpointHook'),  # checkpoints load without pickle
    # All tensors of the backbone must be loaded, and mean, std and channel order must agree:
    backbone_check=dict(type='BackboneCheckHook'),
    class_check=dict(type='ClassCheckHook'),  # a tested checkpoint must have the classes of the data
    finite_loss=dict(type='FiniteLossHook'),  # a NaN or infinite loss stops the run, names the videos, saves the batch
    # At the end: warns about closed residual branches and collapsed features
    backbone_health=dict(type='BackboneHealthHook'),
    provenance=dict(type='ProvenanceHook'),  # meta.uscl of checkpoints: backbone, input, digests of the training data
)
