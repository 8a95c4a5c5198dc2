# LGCE: LAVT whose two deepest levels are enhanced under the sentence's guidance, in the
# published form. The exchange between the levels, which changes nothing there, isn't
# built; see GuidedMultiScaleNeck. The guide is a mean over padding, too.
_base_ = './lavt_swinb.py'
model = dict(
    text_encoder=dict(pad_to_max=True),
    backbone=dict(text_output=True),
    neck=dict(
        _delete_=True,
        type='GuidedMultiScaleNeck',
        in_channels=(128, 256, 512, 1024),
        text_channels=768,
        depths=(1, 3),
        num_heads=(8, 16),
        mlp_ratio=2,
        mean_over_padding=True,
        exchange=False,
        qkv_bias=False,
    ),
)
