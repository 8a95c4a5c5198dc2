# The quickstart on a small plain Vision Transformer from scratch.
_base_ = './cadformer_tiny_synthrs.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='ReferringViT',
        host=dict(
            type='TransformersBackbone',
            config=dict(
                model_type='dinov2',
                image_size=96,
                patch_size=8,
                hidden_size=96,
                num_hidden_layers=4,
                num_attention_heads=4,
                mlp_ratio=2,
            ),
        ),
        fusion=dict(type='SMGAM'),
        pyramid_channels=64,
        text_channels=128,
    ),
    decode_head=dict(in_channels=(64, 64, 64, 64)),
)
