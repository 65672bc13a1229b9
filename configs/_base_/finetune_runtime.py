# What every run on a pretrained backbone shares.
_base_ = './default_runtime.py'

default_hooks = dict(
    _delete_=True,  # those of pretraining watch pairs
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=10),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        interval=5,
        max_keep_ckpts=2,
        save_best='frame/accuracy',
        rule='greater',
        backend_args=dict(backend='atomic'),  # files are there whole or not at all, whenever a run is killed
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sample_seed=dict(type='SampleSeedHook'),  # draws depend on (seed, epoch, frame) alone
    plain_checkpoint=dict(type='PlainCheckpointHook'),  # checkpoints load without pickle
    # All tensors of the backbone must arrive, and mean, std and channel order agree:
    backbone_check=dict(type='BackboneCheckHook'),
    class_check=dict(type='ClassCheckHook'),  # a checkpoint to test must know the classes of the data
    finite_loss=dict(type='FiniteLossHook'),  # NaN or infinity stops the run, names the videos, saves the batch
    # At the end: residual branches that are shut, features that have collapsed
    backbone_health=dict(type='BackboneHealthHook'),
    provenance=dict(type='ProvenanceHook'),  # meta.uscl of checkpoints: backbone, input, digests of the training data
)
