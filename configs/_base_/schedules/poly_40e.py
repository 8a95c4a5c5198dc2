# Sec. V-A of the CADFormer paper: AdamW, 5e-5, weight decay 0.01, polynomial decay,
# 40 epochs. Norms, biases and relative position tables don't decay.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-5, weight_decay=0.01),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,  # biases by other names, as in nn.MultiheadAttention
        custom_keys={'relative_position_bias_table': dict(decay_mult=0.0)},
        bypass_duplicate=True,  # T5 has its embedding under two names
    ),
)
# Without an end of its own, a schedule ends with train_cfg.max_epochs.
param_scheduler = [
    dict(
        type='PolyLR',
        power=0.9,
        eta_min=0.0,
        begin=0,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=40, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
