# The paper's pretraining, its pairs made a batch at a time on the model's device rather than one by one in workers: the
# same random numbers, pixels equal but for rounding, less work for the CPU.
_base_ = [
    '../_base_/models/uscl_resnet18.py',
    '../_base_/datasets/us4.py',
    '../_base_/datasets/spg_paper_device.py',
    '../_base_/schedules/adam_300e.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(type='SPGDataPreprocessor', non_blocking=True))
train_dataloader = dict(
    collate_fn=dict(type='collate_frames'),  # frames of a batch in one tensor
    dataset=dict(pipeline=_base_.spg_pipeline),
)
