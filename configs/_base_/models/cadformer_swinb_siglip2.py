# CADFormer with SigLIP 2's text encoder, which has learned from pairs of images and
# text in many languages. Public weights: Apache-2.0. A local folder:
# --cfg-options model.text_encoder.pretrained=DIR
_base_ = './cadformer_swinb.py'
model = dict(
    text_encoder=dict(
        _delete_=True,
        type='TransformersTextEncoder',
        pretrained='google/siglip2-base-patch16-224',
        config=dict(
            # Files of one size of image are of the older type.
            model_type='siglip_text_model',
            vocab_size=256000,
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            max_position_embeddings=64,
        ),
        max_tokens=20,
        trainable_last=10,
    ),
)
