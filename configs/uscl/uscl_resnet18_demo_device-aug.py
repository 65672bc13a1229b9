# The demo, with pairs made batch-wise on the model's device.
_base_ = ['./uscl_resnet18_demo.py', '../_base_/datasets/spg_paper_device.py']

model = dict(data_preprocessor=dict(type='SPGDataPreprocessor', non_blocking=True))
train_dataloader = dict(
    collate_fn=dict(type='collate_frames'),  # frames of a batch in one tensor
    dataset=dict(
        pipeline=_base_.device_spg_pipeline,
        steps=dict(_delete_=True, DrawViews=dict(scale=64)),  # 224 in the paper
    ),
)
