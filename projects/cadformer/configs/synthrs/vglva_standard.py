# VGLVA alone, standard decoder: VGLVA refines words that nobody reads, so this is
# the same model as without any alignment.
_base_ = './none_standard.py'
