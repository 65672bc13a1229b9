# The paper's pretraining, with pairs made batch-wise on the model's device instead of one by one in workers: the same
# random numbers and nearly the same pixels, but less work for the CPU.
_base_ = ['./uscl_resnet18_1xb32-300e_us4-224px.py', '../_base_/datasets/spg_paper_device.py']

model = dict(data_preprocessor=dict(type='SPGDataPreprocessor', non_blocking=True))
train_dataloader = dict(
    collate_fn=dict(type='collate_frames'),  # frames of a batch in one tensor
    dataset=dict(pipeline=_base_.device_spg_pipeline),
)
