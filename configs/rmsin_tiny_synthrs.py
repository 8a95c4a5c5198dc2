# RMSIN at the size of the quickstart.
_base_ = './lavt_tiny_synthrs.py'
model = dict(
    backbone=dict(fusion=dict(type='RMSINFusion')),
    neck=dict(
        _delete_=True,
        type='CrossScaleInteractionNeck',
        in_channels=(32, 64, 128, 256),
        grid_size=4,
        released_layout=True,
    ),
    decode_head=dict(
        rotated=True,
        loss_decode=[
            dict(
                type='CrossEntropyLoss',
                class_weight=[0.9, 1.1],
                loss_weight=0.9,
                loss_name='loss_ce',
            ),
            # A sum over the batch: 16 samples here, 2 in the full-size configs.
            dict(type='SummedDiceLoss', loss_weight=0.1 * 2 / 16),
        ],
    ),
)
