# US-4, converted by tools/dataset_converters/us4.py: 1,051 videos, 8:2 split by video (Sec. 4).
# The annotation keeps the first three letters of a video's folder; the classes are the released code's.
train_dataloader = dict(
    batch_size=32,  # videos, that is 64 views; Sec. 4
    num_workers=4,  # released code, config.yaml
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='PairBatchSampler'),  # keeps a smaller last batch, but drops a single video
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='VideoClusterDataset',
        data_root='data/us4',
        ann_file='annotations.json',
        split='train',
        label_fraction=0.01,  # 1 % of the videos keep their label, at least one per class; Sec. 4
        data_fraction=1.0,
        seed=0,
        label_map=dict(
            Rb1=0, Rb2=1, Rb3=2, Rb4=3, Rb5=4,  # CLUST
            F0_=5, F1_=6, F2_=7, F3_=8, F4_=9,  # Liver Fibrosis
            Reg=10, Ali=10,  # Butterfly, COVID19-LUSMS
            Cov=11, Bli=11, Ple=11, Oth=11,  # Butterfly, COVID19-LUSMS
        ),
    ),
)  # fmt: skip
