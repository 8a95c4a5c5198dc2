# FIANet: object and position words aligned on their own, a text-aware neck, LAVT's
# decoder. The object words are looked up in text_encoder.categories.
_base_ = './rmsin_swinb.py'
model = dict(
    text_encoder=dict(
        type='PhraseBertTextEncoder',
        categories=(
            'airplane',
            'airport',
            'golf field',
            'expressway service area',
            'baseball field',
            'stadium',
            'ground track field',
            'storage tank',
            'basketball court',
            'chimney',
            'tennis court',
            'overpass',
            'train station',
            'ship',
            'expressway toll station',
            'dam',
            'harbor',
            'bridge',
            'vehicle',
            'windmill',
        ),
    ),
    backbone=dict(fusion=dict(type='FIAM'), text_output=True),
    neck=dict(
        _delete_=True,
        type='TextAwareMultiScaleNeck',
        in_channels=(128, 256, 512, 1024),
        text_channels=768,
        num_blocks=3,
    ),
    decode_head=dict(rotated=False),
)
