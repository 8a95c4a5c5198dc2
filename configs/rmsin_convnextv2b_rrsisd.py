# RMSIN on RRSIS-D with ConvNeXt V2-B, see _base_/models/cadformer_convnextv2b.py.
_base_ = './rmsin_swinb_rrsisd.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='ReferringBackbone',
        host=dict(
            type='TransformersBackbone',
            pretrained='facebook/convnextv2-base-22k-384',
            config=dict(
                model_type='convnextv2',
                depths=[3, 3, 27, 3],
                hidden_sizes=[128, 256, 512, 1024],
                drop_path_rate=0.3,
            ),
        ),
        fusion=dict(type='RMSINFusion'),
        text_output=False,
        text_channels=768,
    )
)
