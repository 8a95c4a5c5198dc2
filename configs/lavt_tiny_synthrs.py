# LAVT at the size of the quickstart.
_base_ = './cadformer_tiny_synthrs.py'
model = dict(
    backbone=dict(type='ReferringSwin', fusion=dict(type='PWAM'), text_output=False),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='ReferringDecodeHead',
        in_channels=(32, 64, 128, 256),
        channels=64,
        loss_decode=dict(
            type='CrossEntropyLoss', class_weight=[0.9, 1.1], loss_name='loss_ce'
        ),
    ),
)
