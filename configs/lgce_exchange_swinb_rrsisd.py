# LGCE with an exchange between the levels that has an effect, a variant of ours: it comes
# before self-attention. Depths and ratio put the parameters near the published number.
_base_ = './lgce_swinb_rrsisd.py'
model = dict(
    text_encoder=dict(pad_to_max=False),
    neck=dict(
        _delete_=True,
        type='GuidedMultiScaleNeck',
        in_channels=(128, 256, 512, 1024),
        text_channels=768,
    ),
)
