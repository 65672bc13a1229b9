# Like ./resnet18_1xb32-finetune3-100e_pocus-224px.py, from a backbone pretrained with USCL or any other method:
#   --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = './resnet18_1xb32-finetune3-100e_pocus-224px.py'

model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/uscl_resnet18/epoch_300.pth', prefix='backbone.')
    )
)
