# The quickstart on a small ConvNeXt V2 from scratch.
_base_ = './cadformer_tiny_synthrs.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='ReferringBackbone',
        host=dict(
            type='TransformersBackbone',
            config=dict(
                model_type='convnextv2',
                depths=[1, 1, 2, 1],
                hidden_sizes=[32, 64, 128, 256],
            ),
        ),
        fusion=dict(type='SMGAM'),
        text_channels=128,
    )
)
