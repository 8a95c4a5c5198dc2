# SPDX-License-Identifier: Apache-2.0
"""How a command ends, and what its options have in common."""

import argparse
import subprocess
import sys

import pytest

from mmcadformer.utils.command_line import add_runner_options, user_errors

COMMAND = """
import sys
from mmcadformer.utils.command_line import user_errors
sys.argv[0] = '/some/where/tool.py'
with user_errors(hint='Look there.'):
    raise {error}
"""


def run(error: str) -> subprocess.CompletedProcess:
    """A command that ends by an error."""
    command = [sys.executable, '-c', COMMAND.format(error=error)]
    return subprocess.run(command, capture_output=True, text=True)


def test_bad_input_ends_with_a_message_on_standard_error():
    ended = run("FileNotFoundError('no file')")
    assert ended.returncode == 1 and not ended.stdout
    assert ended.stderr == 'tool.py: no file\nLook there.\n'


def test_an_interruption_ends_as_in_a_shell():
    ended = run('KeyboardInterrupt')
    assert ended.returncode == 130 and ended.stderr == 'tool.py: interrupted\n'


def test_faults_of_the_program_keep_their_traceback():
    ended = run("KeyError('x')")
    assert ended.returncode == 1 and 'Traceback' in ended.stderr
    assert 'tool.py:' not in ended.stderr


@pytest.mark.parametrize('error', [ValueError, OSError, ImportError])
def test_errors_of_the_user(error):
    with pytest.raises(SystemExit, match='^a.py: bad input$'):
        with user_errors(name='a.py'):
            raise error('bad input')


def test_further_errors_and_those_without_words():
    with pytest.raises(SystemExit, match='^a.py: RuntimeError$'):
        with user_errors(RuntimeError, name='a.py'):
            raise RuntimeError
    with pytest.raises(RuntimeError), user_errors():
        raise RuntimeError


def test_old_launchers_name_the_local_rank():
    parser = argparse.ArgumentParser()
    add_runner_options(parser)
    for option in ('--local-rank=3', '--local_rank=3'):
        assert parser.parse_args(['config.py', option]).local_rank == 3
