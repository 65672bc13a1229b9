# The paper's pretraining with every GPU switch enabled: pairs made on the device, bfloat16 in the network (NT-Xent
# stays in float32), pinned memory. It needs a GPU. torch.compile, which needs a compiler: --cfg-options compile=True.
_base_ = './uscl_resnet18_1xb32-300e_us4-224px_device-aug.py'

optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16')  # dtype='float16' for GPUs older than Ampere
train_dataloader = dict(num_workers=8, pin_memory=True)
