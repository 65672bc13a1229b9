# USCL on only one of US-4's four datasets: CLUST, 63 videos, 3,150 images, 5 classes.
# The classes are the released code's (dataset_wrapper).
_base_ = './uscl_resnet18_1xb32-300e_us4-224px.py'

model = dict(head=dict(num_classes=5))
train_dataloader = dict(
    dataset=dict(
        filter_cfg=dict(labels=['Rb1', 'Rb2', 'Rb3', 'Rb4', 'Rb5']),
        label_map=dict(_delete_=True, Rb1=0, Rb2=1, Rb3=2, Rb4=3, Rb5=4),
    )
)
