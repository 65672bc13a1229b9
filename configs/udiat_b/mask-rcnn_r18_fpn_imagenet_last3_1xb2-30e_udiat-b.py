# The paper's protocol (Sec. 4): only the last three layers of the backbone are trained, taken as `layer4.1` (as in
# the released code for POCUS); the rest of the detector is new and fully trained.
_base_ = './mask-rcnn_r18_fpn_imagenet_1xb2-30e_udiat-b.py'

default_hooks = dict(
    freezing=dict(
        type='FreezeHook',
        trainable=['backbone.layer4.1', 'neck', 'rpn_head', 'roi_head'],
        batch_norm='frozen',  # two images are too few for new statistics; 'released' updates them
    )
)
find_unused_parameters = True  # frozen ones get no gradient; needed with several GPUs
