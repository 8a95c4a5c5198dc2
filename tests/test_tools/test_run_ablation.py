# SPDX-License-Identifier: Apache-2.0
"""An ablation in which one training is killed, and what comes of it."""

import csv
import json
import os
import re

import pytest
from mmengine.config import Config
from mmseg.registry import MODELS

HOOK = """
import os, pathlib, signal
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class KillOnce(Hook):
    def __init__(self, mark):
        self.mark = pathlib.Path(mark)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == 1 and batch_idx == 1 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('analysis/run_ablation.py').main


@pytest.fixture(scope='module')
def ablation(main, tiny_config, tmp_path_factory):
    """Two equal methods, of which one was killed once: folder and arguments."""
    folder = tmp_path_factory.mktemp('ablation')
    (folder / 'kill_once.py').write_text(HOOK)
    cfg = Config.fromfile(tiny_config)
    cfg.custom_imports.imports = ['mmcadformer', 'kill_once']
    cfg.custom_hooks.append(dict(type='KillOnce', mark=str(folder / 'killed')))
    cfg.dump(folder / 'killed.py')
    arguments = folder / 'arguments.txt'
    arguments.write_text(
        f'# two methods\n"plain={tiny_config}"  {folder / "killed.py"}\n'
        '--checkpoint last --skip-val --save-masks --gpus\n'
        '--latency-rounds 1 --device cpu --resamples 200\n'
    )
    arguments = [f'@{arguments}', '--out-dir', str(folder / 'out')]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        path = [str(folder), *filter(None, [os.environ.get('PYTHONPATH')])]
        patch.setenv('PYTHONPATH', os.pathsep.join(path))
        with pytest.raises(SystemExit, match='1 of 2 jobs failed:\n  killed, seed 0'):
            main(arguments)
        jobs = folder / 'out/jobs'
        assert (jobs / 'plain/seed0/done.json').is_file()
        assert not (jobs / 'killed/seed0/trained.json').exists()
        first = read_scores(folder / 'out')
        # What the launcher would start, in this process.
        main(['--run-job', str(jobs / 'killed/seed0')])
    return folder / 'out', arguments, first


def read_scores(folder):
    with open(folder / 'scores.csv', encoding='utf-8') as file:
        return {row['method']: row for row in csv.DictReader(file)}


def test_a_killed_training_goes_on(ablation):
    folder, _, first = ablation
    assert first['killed']['seeds'] == '0' and first['killed']['mIoU'] == ''
    assert float(first['plain']['parameters, M']) > 0
    jobs = [folder / 'jobs' / name / 'seed0' for name in ('plain', 'killed')]
    # Each epoch was trained once, and the result is that of the other job.
    logs = sorted((jobs[1] / 'train').glob('*/*.log'))
    assert len(logs) == 2
    epochs = [
        {int(n) for n in re.findall(r'Epoch\(train\)\s+\[(\d)\]', log.read_text())}
        for log in logs
    ]
    assert epochs == [{1, 2}, {2}]
    plain, killed = ((job / 'results.jsonl').read_text() for job in jobs)
    assert plain == killed and 'pred_rle' in plain


def test_tables(ablation, main, capsys, tiny_config):
    folder, arguments, _ = ablation
    main(arguments)
    out = capsys.readouterr().out
    assert '2 jobs, 2 of them done' in out and 'begins' not in out
    scores = read_scores(folder)
    metrics = json.loads(
        (folder / 'jobs/plain/seed0/results.metrics.json').read_text()
    )['metrics']
    model = MODELS.build(Config.fromfile(tiny_config).model)
    parameters = sum(p.numel() for p in model.parameters())
    for row in scores.values():
        for name in ('mIoU', 'oIoU', 'Pr@0.5', 'Pr@0.9'):
            assert float(row[name]) == pytest.approx(metrics[name])
        assert float(row['parameters, M']) == pytest.approx(parameters / 1e6)
        assert float(row['latency, ms']) > 0 and float(row['FLOPs, G']) > 0
    page = (folder / 'ablation.md').read_text(encoding='utf-8')
    assert page in out and '+0.00 [+0.00, +0.00]' in page
    assert '- tested checkpoint: last' in page and '64 x 64 px, 20 tokens' in page
    costs = (folder / 'costs.json').stat().st_mtime_ns
    main([*arguments, '--report-only', '--reference', 'plain'])
    assert (folder / 'costs.json').stat().st_mtime_ns == costs


def test_other_settings_are_noticed(ablation, main, capsys, tmp_path):
    folder, arguments, _ = ablation
    options = ['--cfg-options', 'optim_wrapper.optimizer.lr=0.5']
    main([*arguments, '--dry-run', *options])
    out = capsys.readouterr().out
    assert '2 jobs, 0 of them done' in out and out.count('would run in') == 2
    with pytest.raises(SystemExit, match='differs in optim_wrapper.optimizer.lr'):
        main([*arguments, *options])
    new = ['--out-dir', str(tmp_path / 'new')]
    main([*arguments, *new, '--dry-run', '--seeds', '0', '1'])
    assert '4 jobs, 0 of them done' in capsys.readouterr().out
    assert not (tmp_path / 'new').exists()


def test_slurm_scripts(ablation, main, capsys, tmp_path):
    _, arguments, _ = ablation
    out_dir = tmp_path / 'slurm'
    slurm = ['--launcher', 'slurm', '--no-submit', '--slurm-args=--partition=gpu']
    main([*arguments, '--out-dir', str(out_dir), *slurm])
    out = capsys.readouterr().out
    for name in ('plain', 'killed'):
        script = out_dir / 'jobs' / name / 'seed0/job.sh'
        assert str(script) in out
        text = script.read_text()
        assert '#SBATCH --partition=gpu' in text
        assert f'--run-job {script.parent}' in text
    assert read_scores(out_dir)['plain']['seeds'] == '0'


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['a.py'], 'give at least one config, and --out-dir'),
        (['a.py', 'b/a.py'], 'two methods are called a: write NAME=CONFIG'),
        (['the method.py'], 'is not a name for a folder'),
        (['a.py', '--reference', 'b'], 'no method is called b'),
        (['a.py', '--skip-val'], 'goes with --checkpoint last'),
        (['a.py', '--seeds', '1', '1'], 'has a number twice'),
    ],
)
def test_wrong_command_lines(main, capsys, arguments, message):
    if 'out-dir' not in message:
        arguments = [*arguments, '--out-dir', 'out']
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


def test_missing_job(main, tmp_path):
    with pytest.raises(SystemExit, match='holds no job'):
        main(['--run-job', str(tmp_path)])
