# USCL on only one of US-4's four datasets: COVID19-LUSMS, 670 videos, 6,834 images, 4 classes.
# The classes are the released code's (dataset_wrapper).
_base_ = './uscl_resnet18_1xb32-300e_us4-224px.py'

model = dict(head=dict(num_classes=4))
train_dataloader = dict(
    dataset=dict(
        filter_cfg=dict(labels=['Ali', 'Bli', 'Ple', 'Oth']),
        label_map=dict(_delete_=True, Ali=0, Bli=1, Ple=2, Oth=3),
    )
)
