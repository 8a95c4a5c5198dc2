# The decoder reads V_i' before the gate, as the released code has it.
_base_ = '../../../configs/cadformer_swinb_rrsishr.py'
model = dict(backbone=dict(gated_to_decoder=False))
