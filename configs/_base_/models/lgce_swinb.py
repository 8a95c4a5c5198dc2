# LGCE: LAVT with a guided exchange between the two deepest levels. A reconstruction,
# see GuidedMultiScaleNeck.
_base_ = './lavt_swinb.py'
model = dict(
    backbone=dict(text_output=True),
    neck=dict(
        _delete_=True,
        type='GuidedMultiScaleNeck',
        in_channels=(128, 256, 512, 1024),
        text_channels=768,
    ),
)
