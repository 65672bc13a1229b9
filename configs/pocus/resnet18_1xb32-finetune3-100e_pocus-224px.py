# POCUS, the paper's protocol (Sec. 4): fine-tune the last three layers, that is `layer4.1` with its two convolutions
# and the classifier. From scratch; the other files start from a checkpoint.
_base_ = [
    '../_base_/models/resnet18_classifier.py',
    '../_base_/datasets/pocus.py',
    '../_base_/schedules/finetune_adam_100e.py',
    '../_base_/finetune_runtime.py',
]

default_hooks = dict(
    freezing=dict(
        type='FreezeHook',
        trainable=['backbone.layer4.1', 'head'],  # Sec. 4; released code, eval_pretrained_model.py
        batch_norm='released',  # frozen layers update their statistics, as in the released code; 'frozen' keeps them
    )
)
