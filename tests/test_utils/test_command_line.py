# SPDX-License-Identifier: Apache-2.0
"""How a command ends, and what its options have in common."""

import argparse
import sys

import pytest

from mmcadformer.utils.command_line import add_runner_options, user_errors


@pytest.fixture
def ended(fork):
    """How a command ends in which something is raised."""

    def command(error):
        sys.argv[0] = '/some/where/tool.py'
        with user_errors(hint='Look there.'):
            raise error

    return lambda error: fork(command, error).wait()


def test_bad_input_ends_with_a_message_on_standard_error(ended):
    found = ended(FileNotFoundError('no file'))
    assert found.returncode == 1 and not found.stdout
    assert found.stderr == 'tool.py: no file\nLook there.\n'


def test_an_interruption_ends_as_in_a_shell(ended):
    found = ended(KeyboardInterrupt())
    assert found.returncode == 130 and found.stderr == 'tool.py: interrupted\n'


def test_faults_of_the_program_keep_their_traceback(ended):
    found = ended(KeyError('x'))
    assert found.returncode == 1 and 'Traceback' in found.stderr
    assert 'tool.py:' not in found.stderr


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
