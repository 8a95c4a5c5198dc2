# CADFormer on DINOv3's ConvNeXt-B. Its weights are given out by Meta after their terms
# (DINOv3 License) are accepted on the hub; then log in, or give a local folder:
# --cfg-options model.backbone.host.pretrained=DIR
_base_ = './cadformer_swinb.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='ReferringBackbone',
        host=dict(
            type='TransformersBackbone',
            pretrained='facebook/dinov3-convnext-base-pretrain-lvd1689m',
            config=dict(
                model_type='dinov3_convnext',
                depths=[3, 3, 27, 3],
                hidden_sizes=[128, 256, 512, 1024],
                drop_path_rate=0.3,
            ),
        ),
        fusion=dict(type='SMGAM'),
        text_channels=768,
    )
)
