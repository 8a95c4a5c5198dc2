#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Trains and tests several configs with several seeds, and compares them.

    run_ablation.py a.py b.py --data-root data --seeds 0 1 2 --out-dir work_dirs/ab
    run_ablation.py @ablation.txt --out-dir work_dirs/ab      arguments from a file
    run_ablation.py ... --launcher slurm --slurm-args=--partition=gpu --slurm-args=...

Run the same command again to go on after an interruption: finished jobs are
recognised by their results and the hash of their config, a killed training goes on
from its newest checkpoint. With Slurm the command submits what is neither finished
nor queued, and tables hold what is finished.

Written to --out-dir: ablation.md (everything on a page), scores and differences as
.md, .csv and .tex, costs.json, and jobs/METHOD/seedN/ with config, log, checkpoints
and results.jsonl, which compare_results.py reads.
"""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config

from mmcadformer import comparison as cmp
from mmcadformer.utils.command_line import add_cfg_options, split_name, user_errors
from mmcadformer.utils.config import input_shape
from mmcadformer.utils.machine import describe_machine

TOOLS = Path(__file__).resolve().parents[1]


class ArgumentParser(argparse.ArgumentParser):
    """Takes @FILE: arguments as a shell splits them, with comments."""

    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        """Splits a line of the file."""
        return shlex.split(arg_line, comments=True)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        fromfile_prefix_chars='@',
    )
    parser.add_argument(
        'configs',
        nargs='*',
        metavar='[NAME=]CONFIG',
        help="methods; a name is by default the config file's. The first is the "
        'reference',
    )
    parser.add_argument('--out-dir', type=Path, help='folder of all results')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--data-root', metavar='FOLDER', help='root of all data')
    add_cfg_options(parser, 'config keys to override in all configs')
    parser.add_argument(
        '--checkpoint',
        choices=cmp.CHECKPOINTS,
        default='best',
        help='what is tested: the best checkpoint in validation, or the last',
    )
    parser.add_argument(
        '--skip-val',
        action='store_true',
        help='train without validation, with --checkpoint last',
    )
    parser.add_argument(
        '--save-masks', action='store_true', help='keep masks for compare_results.py'
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='delete runs in --out-dir that had another config',
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='only say what would be run'
    )
    parser.add_argument(
        '--report-only', action='store_true', help='run nothing, write the tables'
    )
    # How a job's own process is called.
    parser.add_argument('--run-job', type=Path, help=argparse.SUPPRESS)
    _add_launching(parser)
    _add_reporting(parser)
    args = parser.parse_args(argv)
    if args.run_job is None:
        _check(parser, args)
    return args


def _add_launching(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('where jobs run')
    group.add_argument('--launcher', choices=['local', 'slurm'], default='local')
    group.add_argument(
        '--gpus',
        nargs='*',
        metavar='ID',
        help='GPUs, one job at a time on each; by default all, with no ID none',
    )
    group.add_argument(
        '--processes', type=int, default=1, help='jobs at a time without GPUs'
    )
    group.add_argument(
        '--stop-on-failure', action='store_true', help='begin no job after a failure'
    )
    group.add_argument(
        '--slurm-args',
        action='append',
        default=[],
        metavar='OPTION',
        help='an option of sbatch, e.g. --slurm-args=--gres=gpu:1; repeatable',
    )
    group.add_argument(
        '--no-submit', action='store_true', help='only write the Slurm scripts'
    )


def _add_reporting(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('tables')
    group.add_argument('--reference', metavar='NAME', help='default: the first method')
    cmp.add_difference_options(group)
    group.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help="image size for costs; default: the first config's",
    )
    group.add_argument('--tokens', type=int, default=20, help='for costs')
    group.add_argument(
        '--latency-rounds', type=int, default=20, help='0 measures no latency'
    )
    group.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='where latency is measured',
    )


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuses what can't be meant, and gives every config its name."""
    if not args.configs or args.out_dir is None:
        parser.error('give at least one config, and --out-dir')
    if args.skip_val and args.checkpoint != 'last':
        parser.error('--skip-val goes with --checkpoint last')
    if len(set(args.seeds)) < len(args.seeds):
        parser.error('--seeds has a number twice')
    if args.processes < 1 or args.resamples < 1 or args.latency_rounds < 0:
        parser.error('--processes and --resamples must be 1 or more')
    methods: dict[str, str] = {}
    for entry in args.configs:
        name, path = split_name(entry)
        name = name or Path(path).stem
        if not re.fullmatch(r'[\w.+-]+', name):
            parser.error(f'{name!r} is not a name for a folder: write NAME={path}')
        if name in methods:
            parser.error(f'two methods are called {name}: write NAME=CONFIG')
        methods[name] = path
    args.methods = methods
    args.reference = args.reference or next(iter(methods))
    if args.reference not in methods:
        parser.error(f'--reference: no method is called {args.reference}')


def plan(args: argparse.Namespace) -> tuple[list[cmp.Job], dict[str, Config]]:
    """Makes the jobs and, unless nothing is to be run, their folders.

    Returns:
        Jobs, all methods with one seed before the next seed; and the methods'
        configs, the reference first.
    """
    jobs, configs = [], {}
    for seed in args.seeds:
        for name, path in args.methods.items():
            cfg = cmp.prepare_config(
                path, seed, args.cfg_options, args.data_root, args.skip_val
            )
            folder = args.out_dir / 'jobs' / name / f'seed{seed}'
            job = cmp.Job.plan(
                name, seed, folder, cfg, args.checkpoint, args.save_masks
            )
            if not args.dry_run and not args.report_only:
                job.prepare(cfg, args.overwrite)
            configs[name] = cfg
            jobs.append(job)
    first = {args.reference: configs[args.reference]}
    return jobs, {**first, **configs}


def command(job: cmp.Job) -> list[str]:
    """Command line of a job's own process."""
    return [sys.executable, str(Path(__file__).resolve()), '--run-job', str(job.folder)]


def launch(jobs: list[cmp.Job], args: argparse.Namespace) -> dict[str, str]:
    """Runs or submits what isn't finished.

    Returns:
        Label of each failed job -> why.
    """
    print(f'{len(jobs)} jobs, {sum(job.is_done for job in jobs)} of them done')
    todo = [job for job in jobs if not job.is_done]
    if args.dry_run:
        for job in todo:
            print(f'{job.label}: would run in {job.folder}')
        return {}
    if args.report_only:
        return {}
    if args.launcher == 'local':
        slots = cmp.make_slots(args.gpus, args.processes)
        return cmp.run_locally(todo, command, slots, args.stop_on_failure)
    for job in todo:
        script = cmp.write_script(job, command(job), args.slurm_args)
        print(script if args.no_submit else cmp.submit(job, script), flush=True)
    return {}


def report(
    jobs: list[cmp.Job], configs: dict[str, Config], args: argparse.Namespace
) -> None:
    """Measures costs, writes all tables, and prints them."""
    files: dict[str, list[Path]] = {}
    for name in args.methods:
        done = [job.result_file for job in jobs if job.name == name and job.is_done]
        if done:
            files[name] = done
    results = cmp.load_methods(files)
    shape = tuple(args.shape or input_shape(configs[args.reference]))
    costs = cmp.measure_costs(
        configs,
        shape,
        args.tokens,
        args.device,
        args.latency_rounds,
        args.out_dir / 'costs.json',
    )
    names = list(args.methods)
    pairs = cmp.choose_pairs(names, args.reference, args.pairs == 'all')
    scores = cmp.score_table(names, results, costs)
    differences = cmp.difference_table(
        results, pairs, args.bootstrap, args.resamples, args.level
    )
    cmp.write_tables(scores, args.out_dir / 'scores')
    cmp.write_tables(differences, args.out_dir / 'differences')
    notes = {
        'command': f'`{shlex.join(["run_ablation.py", *args.command_line])}`',
        'machine of this page': describe_machine(args.device),
        'tested checkpoint': args.checkpoint,
        'costs': f'{shape[0]} x {shape[1]} px, {args.tokens} tokens, batch size 1; '
        f'two FLOPs per multiply-add; latency ratio to {args.reference}, measured by '
        'turns',
    }
    page = args.out_dir / 'ablation.md'
    print(cmp.write_page(page, [scores, differences], notes))
    print(f'Written to {args.out_dir}')


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the ablation, or one of its jobs."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parse_args(argv)
    args.command_line = argv
    failures: dict[str, str] = {}
    with user_errors(RuntimeError, name='run_ablation.py'):
        if args.run_job is not None:
            cmp.run_job(cmp.Job.load(args.run_job), TOOLS)
            return
        jobs, configs = plan(args)
        failures = launch(jobs, args)
        if not args.dry_run:
            report(jobs, configs, args)
    if failures:
        lines = [f'  {label}: {reason}' for label, reason in failures.items()]
        sys.exit('\n'.join([f'{len(failures)} of {len(jobs)} jobs failed:', *lines]))


if __name__ == '__main__':
    main()
