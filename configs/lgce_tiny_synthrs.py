# LGCE at the size of the quickstart, in the variant whose levels exchange first.
_base_ = './lavt_tiny_synthrs.py'
model = dict(
    backbone=dict(text_output=True),
    neck=dict(
        _delete_=True,
        type='GuidedMultiScaleNeck',
        in_channels=(32, 64, 128, 256),
        text_channels=128,
        depths=(1, 1),
        num_heads=4,
    ),
)
