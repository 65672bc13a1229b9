# What every run on a pretrained backbone shares.
_base_ = './default_runtime.py'

default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=5, max_keep_ckpts=2, save_best='frame/accuracy', rule='greater')
)
custom_hooks = [
    dict(type='SampleSeedHook'),  # draws depend on (seed, epoch, frame) alone
    dict(type='PlainCheckpointHook'),  # checkpoints load without pickle
    dict(type='BackboneCheckHook'),  # all tensors of the backbone must arrive, and mean, std and channel order agree
    dict(type='ClassCheckHook'),  # a checkpoint to test must know the classes of the data
    dict(type='FiniteLossHook'),  # NaN or infinity stops the run, names the videos and saves the batch for replay
    dict(type='BackboneHealthHook'),  # at the end: residual branches that are shut, features that have collapsed
    dict(type='ProvenanceHook'),  # meta.uscl of checkpoints: backbone, input, digests of what was trained on
]
