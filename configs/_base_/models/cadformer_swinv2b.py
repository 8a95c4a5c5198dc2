# CADFormer on Swin V2-B. Public weights: ImageNet-22k at 192 px, Apache-2.0.
# A local folder: --cfg-options model.backbone.host.pretrained=DIR
_base_ = './cadformer_swinb.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='ReferringBackbone',
        host=dict(
            type='TransformersBackbone',
            pretrained='microsoft/swinv2-base-patch4-window12-192-22k',
            config=dict(
                model_type='swinv2',
                image_size=192,
                embed_dim=128,
                depths=[2, 2, 18, 2],
                num_heads=[4, 8, 16, 32],
                window_size=12,
                drop_path_rate=0.3,
            ),
        ),
        fusion=dict(type='SMGAM'),
        text_channels=768,
    )
)
