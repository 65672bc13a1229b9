# Same as for UDIAT-B, on BUSI: lesions_to_coco.py busi SRC --out data/busi --val 240 (the fraction of UDIAT-B)
_base_ = '../udiat_b/faster-rcnn_r18_fpn_uscl_1xb2-30e_udiat-b.py'

train_dataloader = dict(dataset=dict(data_root='data/busi'))
val_dataloader = dict(dataset=dict(data_root='data/busi'))
test_dataloader = dict(dataset=dict(data_root='data/busi'))
