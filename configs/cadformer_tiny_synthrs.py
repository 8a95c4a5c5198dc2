# The quickstart. From scratch, language features grow from stage to stage in some
# trainings, until all words are alike and little is learned: "steady" keeps them from it
# (projects/cadformer/results/README.md).
_base_ = './_base_/tiny_synthrs.py'
model = dict(backbone=dict(steady_language=True))
