optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='Adam',  # released code, eval_pretrained_model.py
        lr=0.01,  # Sec. 4
        weight_decay=1e-4,  # released code
    ),
)
# Cosine over the whole run; released code, eval_pretrained_model.py
param_scheduler = [dict(type='CosineAnnealingLR', T_max=100, eta_min=0, by_epoch=True, begin=0, end=100)]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)  # released code
auto_scale_lr = dict(base_batch_size=32, enable=False)
find_unused_parameters = True  # frozen ones get no gradient; needed with several GPUs
