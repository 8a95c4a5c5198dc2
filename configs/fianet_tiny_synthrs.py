# FIANet at the size of the quickstart.
_base_ = './rmsin_tiny_synthrs.py'
model = dict(
    text_encoder=dict(
        type='PhraseBertTextEncoder',
        categories=(
            'baseball field',
            'basketball field',
            'ground track field',
            'roundabout',
            'storage tank',
            'swimming pool',
            'tennis court',
        ),
    ),
    backbone=dict(fusion=dict(type='FIAM'), text_output=True),
    neck=dict(
        _delete_=True,
        type='TextAwareMultiScaleNeck',
        in_channels=(32, 64, 128, 256),
        text_channels=128,
        num_blocks=1,
    ),
    decode_head=dict(rotated=False),
)
