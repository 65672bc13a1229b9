# Shared by all pretraining runs. MMPretrain's own tools/train.py loads the plugin through `custom_imports`.
custom_imports = dict(imports=['uscl_plugin'], allow_failed_imports=False)
default_scope = 'mmpretrain'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=10),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(  # complete files only, even if the run is killed
        type='CheckpointHook', interval=5, max_keep_ckpts=3, backend_args=dict(backend='atomic')
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # Hooks of this package; settings are changed by hook name: --cfg-options default_hooks.held_out.data_root=DIR
    sample_seed=dict(type='SampleSeedHook'),  # draws depend only on (seed, epoch, video, occurrence)
    # Checkpoints are plain tensors; files that contain code are not loaded, damaged ones are not resumed from:
    plain_checkpoint=dict(type='PlainCheckpointHook'),
    # Set data_root (and split) to report contrastive loss and cohesion on held-out videos:
    held_out=dict(type='HeldOutHook', data_root=None, split='val', interval=5, save_best=False),
    # Similarity of positive and negative pairs, spread of the representation, negatives of the same video; 0: off
    contrastive_monitor=dict(type='ContrastiveMonitorHook', interval=1),
    finite_loss=dict(type='FiniteLossHook'),  # a NaN or infinite loss stops the run, names the videos, saves the batch
    # The first epoch and every 50th: four pairs as a picture; 0: off
    pair_pictures=dict(type='PairPictureHook', interval=50),
    # At the end: warns about closed residual branches and collapsed features
    backbone_health=dict(type='BackboneHealthHook'),
    provenance=dict(type='ProvenanceHook'),  # meta.uscl of checkpoints: backbone, input, digests of the training data
)
env_cfg = dict(
    cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl')
)
visualizer = dict(
    type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
)
log_processor = dict(  # means over ten steps
    window_size=10, mean_pattern=r'.*(loss|time|data_time|grad_norm|similarity|spread).*'
)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0, deterministic=False)
