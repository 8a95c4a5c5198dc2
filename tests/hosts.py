# SPDX-License-Identifier: Apache-2.0
"""Tiny hosts with random weights of every family that the tables know."""

_ALL = (0, 1, 2, 3)
_SWIN = dict(
    embed_dims=16,
    depths=(1, 2, 1, 1),
    num_heads=(1, 2, 2, 4),
    window_size=4,
    drop_path_rate=0.0,
)
_PCPVT = dict(
    embed_dims=[8, 16, 24, 32],
    num_heads=[1, 2, 2, 4],
    depths=[1, 2, 1, 1],
    mlp_ratios=[2, 2, 2, 2],
)
_SVT = dict(
    embed_dims=[8, 16, 24, 32],
    num_heads=[1, 2, 2, 4],
    mlp_ratios=[2, 2, 2, 2],
    depths=[2, 2, 2, 2],
    sr_ratios=[8, 4, 2, 1],
)
MMSEG = {
    'mmseg.SwinTransformer': dict(type='SwinTransformer', **_SWIN),
    'mmseg.MixVisionTransformer': dict(
        type='MixVisionTransformer',
        embed_dims=8,
        num_layers=[1, 2, 1, 1],
        num_heads=[1, 2, 2, 4],
    ),
    'mmseg.MSCAN': dict(
        type='MSCAN',
        embed_dims=[8, 16, 24, 32],
        mlp_ratios=[2, 2, 2, 2],
        depths=[1, 2, 1, 1],
        norm_cfg=dict(type='BN'),
    ),
    'mmseg.PCPVT': dict(type='PCPVT', **_PCPVT),
    'mmseg.SVT': dict(
        type='SVT', windiow_sizes=[7, 7, 7, 7], strides=[4, 2, 2, 2], **_SVT
    ),
    'mmseg.ResNet': dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
}
_CONVNEXT = dict(depths=[1, 2, 1, 1], channels=[8, 16, 24, 32])
MMPRETRAIN = {
    'mmpretrain.SwinTransformer': dict(
        arch=dict(embed_dims=16, depths=[1, 2, 1, 1], num_heads=[1, 2, 2, 4]),
    ),
    'mmpretrain.SwinTransformerV2': dict(
        arch=dict(
            embed_dims=16,
            depths=[1, 2, 1, 1],
            num_heads=[1, 2, 2, 4],
            extra_norm_every_n_blocks=0,
        ),
        window_size=4,
    ),
    'mmpretrain.DaViT': dict(
        arch=dict(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4]),
    ),
    'mmpretrain.ConvNeXt': dict(arch=_CONVNEXT),
    'mmpretrain.ConvNeXt V2': dict(
        type='mmpretrain.ConvNeXt',
        arch=_CONVNEXT,
        use_grn=True,
        layer_scale_init_value=0.0,
    ),
    'mmpretrain.EdgeNeXt': dict(
        arch=dict(channels=[8, 16, 24, 32], depths=[1, 2, 2, 2], num_heads=[2, 2, 2, 2])
    ),
    'mmpretrain.HorNet': dict(
        arch=dict(
            base_dim=8,
            depths=[1, 2, 1, 1],
            orders=[2, 3, 4, 5],
            dw_cfg=[dict(type='DW', kernel_size=7)] * 4,
        ),
    ),
    'mmpretrain.RepLKNet': dict(
        arch=dict(
            large_kernel_sizes=[7, 5, 5, 3],
            layers=[1, 1, 1, 1],
            channels=[8, 16, 24, 32],
            small_kernel=3,
            dw_ratio=1,
        ),
        drop_path_rate=0.0,
    ),
    'mmpretrain.PoolFormer': dict(
        arch=dict(
            layers=[1, 2, 1, 1],
            embed_dims=[8, 16, 24, 32],
            mlp_ratios=[2, 2, 2, 2],
            layer_scale_init_value=1e-5,
        ),
    ),
    'mmpretrain.VAN': dict(
        arch=dict(
            embed_dims=[8, 16, 24, 32], depths=[1, 2, 1, 1], ffn_ratios=[2, 2, 2, 2]
        ),
    ),
    'mmpretrain.MViT': dict(
        arch=dict(
            embed_dims=16, num_layers=4, num_heads=1, downscale_indices=[1, 2, 3]
        ),
    ),
    'mmpretrain.PCPVT': dict(
        arch=dict(
            embed_dims=[8, 16, 24, 32],
            depths=[1, 2, 1, 1],
            num_heads=[1, 2, 2, 4],
            patch_sizes=[4, 2, 2, 2],
            strides=[4, 2, 2, 2],
            mlp_ratios=[2, 2, 2, 2],
            sr_ratios=[8, 4, 2, 1],
        ),
    ),
    'mmpretrain.SVT': dict(
        arch=dict(
            embed_dims=[8, 16, 24, 32],
            depths=[2, 2, 2, 2],
            num_heads=[1, 2, 2, 4],
            patch_sizes=[4, 2, 2, 2],
            strides=[4, 2, 2, 2],
            mlp_ratios=[2, 2, 2, 2],
            sr_ratios=[8, 4, 2, 1],
            window_sizes=[7, 7, 7, 7],
        ),
    ),
    'mmpretrain.RepVGG': dict(arch='A0'),
    'mmpretrain.ResNet': dict(depth=18, base_channels=8, stem_channels=8),
}
for _name, _cfg in MMPRETRAIN.items():
    _cfg.setdefault('type', _name)

TRANSFORMERS = {
    'transformers.swin': dict(
        embed_dim=16, depths=[1, 2, 1, 1], num_heads=[1, 2, 2, 4], window_size=4
    ),
    'transformers.swinv2': dict(
        embed_dim=16, depths=[1, 2, 1, 1], num_heads=[1, 2, 2, 4], window_size=4
    ),
    'transformers.convnext': dict(depths=[1, 2, 1, 1], hidden_sizes=[8, 16, 24, 32]),
    'transformers.convnextv2': dict(depths=[1, 2, 1, 1], hidden_sizes=[8, 16, 24, 32]),
    'transformers.pvt_v2': dict(
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 2, 1, 1],
        num_attention_heads=[1, 2, 2, 4],
        mlp_ratios=[2, 2, 2, 2],
    ),
    'transformers.focalnet': dict(
        embed_dim=8, depths=[1, 2, 1, 1], hidden_sizes=[8, 16, 32, 64]
    ),
    'transformers.resnet': dict(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 2, 1, 1],
        layer_type='basic',
    ),
    'transformers.dinov3_convnext': dict(
        depths=[1, 2, 1, 1], hidden_sizes=[8, 16, 24, 32]
    ),
}
for _name, _cfg in list(TRANSFORMERS.items()):
    TRANSFORMERS[_name] = dict(
        type='TransformersBackbone', config=dict(_cfg, model_type=_name[13:])
    )

TIMM = {
    'timm.swin': dict(
        model_name='swin_tiny_patch4_window7_224',
        embed_dim=16,
        depths=(1, 2, 1, 1),
        num_heads=(1, 2, 2, 4),
        window_size=4,
    ),
    'timm.swinv2': dict(
        model_name='swinv2_tiny_window8_256',
        embed_dim=16,
        depths=(1, 2, 1, 1),
        num_heads=(1, 2, 2, 4),
        window_size=4,
    ),
    'timm.convnextv2': dict(
        model_name='convnextv2_atto', depths=(1, 2, 1, 1), dims=(8, 16, 24, 32)
    ),
    'timm.resnet': dict(model_name='resnet10t'),
    'timm.pvt_v2': dict(
        model_name='pvt_v2_b0',
        depths=(1, 2, 1, 1),
        embed_dims=(8, 16, 24, 32),
        num_heads=(1, 2, 2, 4),
    ),
}
for _cfg in TIMM.values():
    _cfg['type'] = 'TimmBackbone'

_VIT = dict(embed_dims=24, num_layers=5, num_heads=3)
FLAT_MMSEG = {
    'mmseg.VisionTransformer': dict(
        type='VisionTransformer', img_size=64, patch_size=16, **_VIT
    ),
}
_ARCH = dict(_VIT, feedforward_channels=48)
FLAT_MMPRETRAIN = {
    'mmpretrain.VisionTransformer': dict(arch=_ARCH, img_size=64),
    'mmpretrain.ViTEVA02': dict(arch=_ARCH, img_size=64, patch_size=16),
    'mmpretrain.BEiTViT': dict(arch=_ARCH, img_size=64),
    'mmpretrain.ViTSAM': dict(
        arch=dict(_ARCH, global_attn_indexes=[2, 4]), img_size=64, use_rel_pos=True
    ),
}
for _name, _cfg in FLAT_MMPRETRAIN.items():
    _cfg['type'] = _name
_HF_VIT = dict(
    hidden_size=24, num_hidden_layers=5, num_attention_heads=3, intermediate_size=48
)
FLAT_TRANSFORMERS = {
    'transformers.dinov2': dict(_HF_VIT, patch_size=14, image_size=56),
    'transformers.dinov2_with_registers': dict(_HF_VIT, patch_size=14, image_size=56),
    'transformers.dinov3_vit': dict(_HF_VIT, hidden_size=48, num_register_tokens=4),
    'transformers.siglip_vision_model': dict(_HF_VIT, image_size=64, patch_size=16),
    'transformers.clip_vision_model': dict(_HF_VIT, image_size=64, patch_size=16),
}
for _name, _cfg in list(FLAT_TRANSFORMERS.items()):
    FLAT_TRANSFORMERS[_name] = dict(
        type='TransformersBackbone', config=dict(_cfg, model_type=_name[13:])
    )
FLAT_TIMM = {
    'timm.vit': dict(
        type='TimmBackbone',
        model_name='vit_tiny_patch16_224',
        embed_dim=24,
        depth=5,
        num_heads=3,
    ),
    'timm.eva02': dict(
        type='TimmBackbone',
        model_name='eva02_tiny_patch14_224',
        patch_size=16,
        embed_dim=24,
        depth=5,
        num_heads=3,
    ),
}
