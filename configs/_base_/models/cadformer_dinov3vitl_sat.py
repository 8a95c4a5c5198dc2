# CADFormer on DINOv3's ViT-L of 493 million satellite images, with their mean and
# standard deviation. Weights as for cadformer_dinov3convnextb.py. Four maps come from
# a simple feature pyramid.
_base_ = './cadformer_swinb.py'
model = dict(
    data_preprocessor=dict(
        mean=[109.65, 104.805, 75.48],  # 0.430, 0.411, 0.296
        std=[54.315, 39.78, 36.465],  # 0.213, 0.156, 0.143
    ),
    backbone=dict(
        _delete_=True,
        type='ReferringViT',
        host=dict(
            type='TransformersBackbone',
            pretrained='facebook/dinov3-vitl16-pretrain-sat493m',
            config=dict(
                model_type='dinov3_vit',
                hidden_size=1024,
                intermediate_size=4096,
                num_hidden_layers=24,
                num_attention_heads=16,
                num_register_tokens=4,
                drop_path_rate=0.1,
            ),
        ),
        fusion=dict(type='SMGAM'),
        pyramid_channels=256,
        text_channels=768,
    ),
    neck=dict(in_channels=(256, 256, 256, 256), channels=480),
    decode_head=dict(in_channels=(256, 256, 256, 256)),
)
