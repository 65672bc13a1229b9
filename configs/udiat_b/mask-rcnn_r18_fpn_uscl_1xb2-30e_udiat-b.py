# Like ./mask-rcnn_r18_fpn_scratch_1xb2-30e_udiat-b.py, from a backbone pretrained with USCL or any other method:
#   --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = './mask-rcnn_r18_fpn_scratch_1xb2-30e_udiat-b.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True, type='Pretrained', checkpoint='work_dirs/uscl_resnet18/epoch_300.pth', prefix='backbone.'
        )
    )
)
