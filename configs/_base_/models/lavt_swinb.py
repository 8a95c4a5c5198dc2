# LAVT: pixel-word attention between the stages, no neck, the standard decoder,
# cross-entropy with the family's class weights.
_base_ = './cadformer_swinb.py'
model = dict(
    backbone=dict(type='ReferringSwin', fusion=dict(type='PWAM'), text_output=False),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='ReferringDecodeHead',
        in_channels=(128, 256, 512, 1024),
        channels=512,
        loss_decode=dict(
            type='CrossEntropyLoss', class_weight=[0.9, 1.1], loss_name='loss_ce'
        ),
    ),
)
