# 32 tokens; longer expressions are cut (and counted).
_base_ = '../../../configs/cadformer_swinb_rrsishr.py'
model = dict(text_encoder=dict(max_tokens=32))
