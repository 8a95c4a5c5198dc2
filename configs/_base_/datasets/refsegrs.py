# data/refsegrs/{output_phrase_train.txt,..._val.txt,..._test.txt,images/,masks/}.
_base_ = './referring.py'
_dataset = dict(type='RefSegRSDataset', data_root='data/refsegrs')
train_dataloader = dict(dataset=_dataset)
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=_dataset)
