# Same as for UDIAT-B, on BUS-UCLM: lesions_to_coco.py bus_uclm SRC --out data/bus_uclm --val N, grouped by patient
_base_ = '../udiat_b/mask-rcnn_r18_fpn_uscl_last3_1xb2-30e_udiat-b.py'

train_dataloader = dict(dataset=dict(data_root='data/bus_uclm'))
val_dataloader = dict(dataset=dict(data_root='data/bus_uclm'))
test_dataloader = dict(dataset=dict(data_root='data/bus_uclm'))
