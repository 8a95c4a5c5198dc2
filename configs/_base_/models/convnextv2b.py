# ConvNeXt V2-B as a host. Public weights: ImageNet-22k at 384 px, CC-BY-NC-4.0.
# A local folder: --cfg-options model.backbone.host.pretrained=DIR
convnextv2b = dict(
    type='TransformersBackbone',
    pretrained='facebook/convnextv2-base-22k-384',
    config=dict(
        model_type='convnextv2',
        depths=[3, 3, 27, 3],
        hidden_sizes=[128, 256, 512, 1024],
        drop_path_rate=0.3,
    ),
)
