# Sentences with no, one or several targets (docs/generalised.md).
_base_ = './referring.py'
# Validation chooses the threshold of presence, which is stored with the weights.
val_evaluator = dict(
    _delete_=True, type='GeneralizedReferringMetric', choose_threshold=True
)
test_evaluator = dict(_delete_=True, type='GeneralizedReferringMetric')
