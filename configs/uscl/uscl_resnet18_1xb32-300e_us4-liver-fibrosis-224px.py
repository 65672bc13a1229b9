# USCL on only one of US-4's four datasets: Liver Fibrosis, 296 videos, 11,714 images, 5 classes.
# The classes are the released code's (dataset_wrapper).
_base_ = './uscl_resnet18_1xb32-300e_us4-224px.py'

model = dict(head=dict(num_classes=5))
train_dataloader = dict(
    dataset=dict(
        filter_cfg=dict(labels=['F0_', 'F1_', 'F2_', 'F3_', 'F4_']),
        label_map=dict(_delete_=True, F0_=0, F1_=1, F2_=2, F3_=3, F4_=4),
    )
)
