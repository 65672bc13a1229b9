# The paper's protocol (Sec. 4): of the backbone, only the last three layers are trained, taken as `layer4.1` (as in the
# released code for POCUS); the detector around it is new and trained whole.
_base_ = './mask-rcnn_r18_fpn_scratch_1xb2-30e_udiat-b.py'

default_hooks = dict(
    freezing=dict(
        type='FreezeHook',
        trainable=['backbone.layer4.1', 'neck', 'rpn_head', 'roi_head'],
        batch_norm='released',  # random layers have no statistics to keep
    )
)
find_unused_parameters = True  # frozen ones get no gradient, which several GPUs must know
