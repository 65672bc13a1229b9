# A short run on COVID-BLUES (252 lung clips of 44 patients, PCR positive or negative), for two cores and a few minutes.
#   python tools/dataset_converters/videos_to_clusters.py COVID-BLUES --out data/covid_blues --val-fraction 0.2
_base_ = './uscl_resnet18_1xb32-300e_us4-224px.py'

model = dict(head=dict(num_classes=2))  # pcr_negative, pcr_positive
train_dataloader = dict(
    num_workers=2,
    dataset=dict(
        data_root='data/covid_blues',
        split='train',  # 8:2 split by patient
        label_map=None,
        label_fraction=0.01,  # one clip per class here
        steps=dict(AntialiasedRandomResizedCrop=dict(scale=64)),  # 224 in the paper
    ),
)
train_cfg = dict(max_epochs=30)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=30, eta_min=0, by_epoch=True, begin=0, end=30)]
