# The demo, its pairs made a batch at a time on the model's device.
_base_ = ['./uscl_resnet18_demo.py', '../_base_/datasets/spg_paper_device.py']

device_spg_pipeline = _base_.device_spg_pipeline
device_spg_pipeline[2]['scale'] = 64  # DrawViews; 224 in the paper

model = dict(data_preprocessor=dict(type='SPGDataPreprocessor', non_blocking=True))
train_dataloader = dict(collate_fn=dict(type='collate_frames'), dataset=dict(pipeline=device_spg_pipeline))
