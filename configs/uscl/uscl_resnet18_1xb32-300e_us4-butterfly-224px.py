# USCL on only one of US-4's four datasets: Butterfly, 22 videos, 1,533 images, 2 classes.
# The classes are the released code's (dataset_wrapper).
_base_ = './uscl_resnet18_1xb32-300e_us4-224px.py'

model = dict(head=dict(num_classes=2))
train_dataloader = dict(
    dataset=dict(
        filter_cfg=dict(labels=['Reg', 'Cov']),
        label_map=dict(_delete_=True, Reg=0, Cov=1),
    )
)
