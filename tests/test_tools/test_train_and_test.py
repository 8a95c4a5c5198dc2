# SPDX-License-Identifier: Apache-2.0
"""Training and testing from the command line."""

import json
import os
import re
import signal
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS, METRICS

PLANT = """
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class PlantOne(Hook):
    def before_train(self, runner):
        head = runner.model.module.decode_head
        loss = head.loss_by_feat

        def planted(*args, **kwargs):
            losses = loss(*args, **kwargs)
            if get_rank() == 1 and runner.iter == 1:
                losses['loss_ce'] = losses['loss_ce'] * float('nan')
            return losses

        head.loss_by_feat = planted

    def after_train(self, runner):
        state = runner.model.module.state_dict()
        torch.save(state, f'{runner.work_dir}/rank_{get_rank()}.pt')
"""


@pytest.fixture(scope='module')
def two_processes(tiny_config, tmp_path_factory, run_tool):
    """A training in two processes, and a test of its checkpoint in two.

    The loss of the second process is NaN in the second step.
    """
    folder = tmp_path_factory.mktemp('two_processes')
    (folder / 'plant_one.py').write_text(PLANT)
    config = folder / 'config.py'
    imports = f'import sys\nsys.path.insert(0, {str(folder)!r})\n'
    imports += "custom_imports['imports'].append('plant_one')"
    hook = "custom_hooks.append(dict(type='PlantOne'))"
    config.write_text(f'{tiny_config.read_text()}\n{imports}\n{hook}\n')
    options = [
        'train_cfg.max_epochs=1', 'val_dataloader.batch_size=2',
        'default_hooks.visualization.val_samples=4',
    ]  # fmt: skip
    train = run_tool(
        'dist_train.sh', config, 2, '--work-dir', 'run', '--cfg-options', *options,
        cwd=folder,
    )  # fmt: skip
    run_tool(
        'dist_test.sh', tiny_config, 'run/epoch_1.pth', 2, '--work-dir', 'test',
        '--out', 'out/results.jsonl', '--show-dir', 'show', '--show-interval', 2,
        cwd=folder,
    )  # fmt: skip
    return folder, train.stdout + train.stderr


def test_two_processes_train_together(two_processes):
    folder, log = two_processes
    assert 'GPU number: 2' in log
    # Every process gets half of the 8 objects, 2 at a time.
    assert re.search(r'Epoch\(train\)\s+\[1\]\[2/2\]', log)
    cfg = Config.fromfile(folder / 'run/config.py', import_custom_modules=False)
    assert cfg.model_wrapper_cfg.find_unused_parameters is False
    assert (folder / 'run/epoch_1.pth').is_file()
    assert list((folder / 'run').glob('best_oIoU_epoch_1.pth'))


def test_two_processes_skip_a_step_together(two_processes):
    folder, log = two_processes
    assert '1 of the last steps up to 2 skipped (1 in all)' in log
    one, other = (torch.load(folder / f'run/rank_{rank}.pt') for rank in (0, 1))
    trained = [key for key in one if 'running_' not in key]
    assert all(torch.equal(one[key], other[key]) for key in trained)
    assert all(torch.isfinite(value).all() for value in one.values())


def test_two_processes_draw_the_validation_samples_of_both(two_processes, tiny_config):
    folder, _ = two_processes
    init_default_scope('mmseg')
    dataset = DATASETS.build(Config.fromfile(tiny_config).val_dataloader.dataset)
    step = len(dataset) // 4
    wanted = [index * step for index in range(4)]
    # Each process computes every second sample.
    assert {index % 2 for index in wanted} == {0, 1}
    pictures = (folder / 'run').glob('*/vis_data/vis_image/val_*.png')
    drawn = sorted(int(file.name.split('_')[1]) for file in pictures)
    assert drawn == wanted


def test_two_processes_test_as_one_does(two_processes, tiny_config, tmp_path):
    folder, _ = two_processes
    cfg = Config.fromfile(tiny_config)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = 'one_process'
    cfg.load_from = str(folder / 'run/epoch_1.pth')
    cfg.test_evaluator.output_file = str(tmp_path / 'one.jsonl')
    expected = Runner.from_cfg(cfg).test()
    report = json.loads((folder / 'out/results.metrics.json').read_text())
    assert report['metrics'] == pytest.approx(expected)
    assert report['checkpoint'] == 'run/epoch_1.pth'
    lines = (folder / 'out/results.jsonl').read_text().splitlines()
    assert lines == (tmp_path / 'one.jsonl').read_text().splitlines()
    # Each process draws its own samples; each second one is wanted.
    drawn = sorted(int(file.name[:6]) for file in (folder / 'show').iterdir())
    assert drawn == list(range(0, len(lines), 2))


def test_killed_run_resumes_to_the_same_weights(
    tiny_config, tmp_path, fork_tool, call_tool
):
    options = {
        'train_dataloader.num_workers': 2,
        'train_dataloader.persistent_workers': True,
        'train_cfg.max_epochs': 3,
        'default_hooks.checkpoint.save_best': None,
        'val_dataloader': None,
        'val_cfg': None,
        'val_evaluator': None,
    }
    cfg = Config.fromfile(tiny_config)
    cfg.merge_from_dict(options)
    config = tmp_path / 'killed.py'
    cfg.dump(config)
    arguments = [config, '--work-dir', tmp_path / 'killed', '--seed', '5']
    process = fork_tool('train.py', *arguments, cwd=tmp_path)
    process.wait_for(re.compile(r'Epoch\(train\)\s+\[2\]\[2/').search)
    os.killpg(process.pid, signal.SIGKILL)  # with its workers
    assert process.wait().returncode == -signal.SIGKILL, process.output
    assert not (tmp_path / 'killed/epoch_2.pth').exists()
    call_tool('train.py', *arguments, '--resume')
    arguments[2] = tmp_path / 'whole'
    call_tool('train.py', *arguments)
    killed, whole = (
        torch.load(tmp_path / run / 'epoch_3.pth', weights_only=False)
        for run in ('killed', 'whole')
    )
    assert killed['meta']['seed'] == 5
    for key, value in whole['state_dict'].items():
        assert torch.equal(value, killed['state_dict'][key]), key
    for index, state in whole['optimizer']['state'].items():
        other = killed['optimizer']['state'][index]
        assert torch.equal(state['exp_avg_sq'], other['exp_avg_sq'])


@pytest.mark.parametrize('old_key', [False, True])
def test_the_protocol_is_one_option(
    old_key, load_tool, tiny_config, tmp_path, monkeypatch
):
    test = load_tool('test.py')
    checkpoint = tmp_path / 'empty.pth'
    torch.save(dict(state_dict={}), checkpoint)
    command = ['test.py', tiny_config, checkpoint, '--protocol', 'released']
    if old_key:
        command += ['--cfg-options', 'test_evaluator.eval_size=original']
    monkeypatch.setattr(sys, 'argv', list(map(str, command)))
    cfg = test.build_config(test.parse_args())
    assert METRICS.build(cfg.test_evaluator).protocol.name == 'released'
    assert 'protocol' not in cfg.val_evaluator


def test_options_reach_the_config(load_tool, tiny_config, tmp_path, monkeypatch):
    train = load_tool('train.py')
    torch.save(dict(state_dict={}), tmp_path / 'start.pth')
    command = [
        'train.py', tiny_config, '--amp', '--tensorboard', '--seed', '7',
        '--cfg-options', f'load_from={tmp_path}/start.pth', 'train_cfg.max_epochs=9',
    ]  # fmt: skip
    monkeypatch.setattr(sys, 'argv', list(map(str, command)))
    cfg = train.build_config(train.parse_args())
    assert cfg.randomness.seed == 7 and cfg.train_cfg.max_epochs == 9
    kinds = [backend.type for backend in cfg.visualizer.vis_backends]
    assert kinds == ['LocalVisBackend', 'TensorboardVisBackend']
    assert cfg.optim_wrapper.type in ('BFloat16OptimWrapper', 'AmpOptimWrapper')
    # Weights from elsewhere go through the reader that runs no code.
    assert cfg.load_from == f'safe:{tmp_path}/start.pth' and not cfg.resume
    assert cfg.work_dir == 'work_dirs/tiny'


def test_mixed_precision_reaches_the_model(
    load_tool, tiny_config, tmp_path, monkeypatch, capsys
):
    test = load_tool('test.py')
    torch.save(dict(state_dict={}), tmp_path / 'start.pth')
    command = ['test.py', tiny_config, tmp_path / 'start.pth', '--amp', 'bf16']
    monkeypatch.setattr(sys, 'argv', list(map(str, command)))
    cfg = test.build_config(test.parse_args())
    assert cfg.model.test_cfg == dict(mode='whole', amp='bf16')
    assert 'precision: bf16' in capsys.readouterr().out


def test_resume_without_a_checkpoint_starts_from_the_weights(
    load_tool, tiny_config, tmp_path
):
    train = load_tool('train.py')
    torch.save({}, tmp_path / 'start.pth')
    settings = dict(load_from=str(tmp_path / 'start.pth'), work_dir=str(tmp_path))
    cfg = Config(dict(settings))
    train.set_start(cfg, 'auto')
    assert cfg.load_from.startswith('safe:') and cfg.resume is False
    torch.save({}, tmp_path / 'epoch_4.pth')
    cfg = Config(dict(settings))
    train.set_start(cfg, 'auto')
    assert cfg.load_from == str(tmp_path / 'epoch_4.pth') and cfg.resume is True
    cfg = Config(dict(settings))
    train.set_start(cfg, str(tmp_path / 'start.pth'))
    assert cfg.load_from == str(tmp_path / 'start.pth') and cfg.resume is True


@pytest.mark.parametrize(
    'options, message',
    [
        (['train_dataloader.dataset.data_root=/no/such'], "'/no/such'"),
        (['val_dataloader.dataset.data_root=/no/such'], 'val_dataloader.dataset'),
        (['load_from=/no/weights.pth'], '/no/weights.pth, does not exist'),
        (['optim_wrapper.type=Own'], "'Own'"),
    ],
)
def test_train_refuses_what_cannot_work(call_tool, tiny_config, options, message):
    with pytest.raises(SystemExit, match=message):
        call_tool('train.py', tiny_config, '--amp', '--cfg-options', *options)


def test_test_refuses_what_cannot_work(
    call_tool, tiny_config, tiny_checkpoint, tmp_path
):
    with pytest.raises(SystemExit, match='config nothing.py does not exist'):
        call_tool('test.py', 'nothing.py', tiny_checkpoint)
    with pytest.raises(SystemExit, match='checkpoint nothing.pth does not exist'):
        call_tool('test.py', tiny_config, 'nothing.pth')
    options = ['--cfg-options', 'test_dataloader.dataset.data_root=/no/such']
    with pytest.raises(SystemExit, match='/no/such'):
        call_tool('test.py', tiny_config, tiny_checkpoint, *options)
    options = ['--cfg-options', 'model.decode_head.channels=24']
    with pytest.raises(SystemExit, match='size mismatch'):
        call_tool(
            'test.py', tiny_config, tiny_checkpoint, '--work-dir', tmp_path, *options
        )


@pytest.mark.parametrize('tool', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
def test_scripts_explain_their_use(run_tool, tool, tmp_path):
    result = run_tool(tool, 'config.py', cwd=tmp_path, check=False)
    assert result.returncode == 2 and f'{tool} ' in result.stderr
