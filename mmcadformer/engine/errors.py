# SPDX-License-Identifier: Apache-2.0
"""What ends a training besides its last step."""


class TrainingError(RuntimeError):
    """A training can't begin or go on, for a reason that its user can mend."""


class TrainingStopped(Exception):
    """A signal asked the training to end, and its state is saved.

    Args:
        signal: The signal's number.
        message: Where the state is.
    """

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal
