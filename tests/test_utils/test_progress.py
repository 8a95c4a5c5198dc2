# SPDX-License-Identifier: Apache-2.0
"""The progress bar, in a terminal and in a log."""

import io
import os
import select

from mmcadformer.utils.progress import progress_bar


def test_a_log_gets_the_beginning_and_the_end(tmp_path):
    with open(tmp_path / 'log.txt', 'w') as file:
        with progress_bar(total=1000, file=file) as bar:
            for _ in range(998):
                bar.update()
            bar.update(2)
    states = (tmp_path / 'log.txt').read_text().strip().splitlines()
    assert len(states) == 2
    assert '0/1000' in states[0] and '1000/1000' in states[1]


def test_a_terminal_is_redrawn_while_tasks_end():
    leader, follower = os.openpty()
    with os.fdopen(follower, 'w') as terminal:
        bar = progress_bar(total=3, file=terminal)
        bar.last_print_t -= 1  # as if a second had passed
        bar.update()
        bar.update()  # at once: not drawn
        bar.update()
        bar.close()
        shown = ''
        # The system may hand it over in pieces.
        while '3/3' not in shown and select.select([leader], [], [], 10)[0]:
            shown += os.read(leader, 10_000).decode()
    os.close(leader)
    assert '1/3' in shown and '2/3' not in shown and '3/3' in shown


def test_tracked_things_pass_and_the_line_ends():
    shown = io.StringIO()
    assert list(progress_bar(iter('abc'), 3, file=shown)) == ['a', 'b', 'c']
    assert '3/3' in shown.getvalue() and shown.getvalue().endswith('\n')


def test_the_line_ends_too_where_there_are_fewer_than_expected():
    shown = io.StringIO()
    assert list(progress_bar('ab', 3, file=shown)) == ['a', 'b']
    assert shown.getvalue().endswith('\n')


def test_a_bar_can_begin_in_the_middle():
    shown = io.StringIO()
    assert list(progress_bar('ab', 5, done=3, file=shown)) == ['a', 'b']
    assert '3/5' in shown.getvalue() and '5/5' in shown.getvalue()


def test_nothing_is_shown_unasked_or_of_nothing(capsys):
    assert list(progress_bar('ab', 2, show=False)) == ['a', 'b']
    assert list(progress_bar('', 0)) == []
    assert capsys.readouterr() == ('', '')
