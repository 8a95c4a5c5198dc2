# SPDX-License-Identifier: Apache-2.0
# Sourced by the shell commands of tools/: prepares the virtual environment.
#
# prepare_environment EXTRA... creates or reuses the environment, installs the
# package (editable) with the given extras of setup.py, and sets VENV_PYTHON.
# It needs Python 3.10-3.12 with pip and venv, and nothing else.
#
# Environment variables:
#   PYTHON           interpreter that creates the environment
#   MMCADFORMER_VENV folder of the environment (default: .venv in the checkout)
#   MMCADFORMER_LOCKED  1: exactly the packages of requirements/lock.txt

REPO_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

fail() {
  printf 'error: %s\n' "$@" >&2
  exit 1
}

# Runs the interpreter: a version manager may leave commands that only fail.
is_supported_python() {
  "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
    >/dev/null 2>&1
}

find_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    is_supported_python "$PYTHON" ||
      fail "PYTHON=$PYTHON is not a working Python 3.10, 3.11 or 3.12"
    printf '%s\n' "$PYTHON"
    return
  fi
  for candidate in python3.12 python3.11 python3.10 python3 python; do
    if is_supported_python "$candidate"; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  fail 'no Python 3.10, 3.11 or 3.12 found; install one, or name one: PYTHON=/path/to/python3'
}

create_environment() {
  local venv="$1" python
  if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv")" ]; then
    fail "$venv exists and is not a virtual environment; set MMCADFORMER_VENV to another folder"
  fi
  python="$(find_python)" || exit 1
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot create virtual environments; on Debian or Ubuntu install python3-venv"
  printf 'Creating %s with %s\n' "$venv" "$("$python" --version)"
  "$python" -m venv "$venv" || fail "could not create the virtual environment $venv"
}

# OpenCV's usual build needs libGL even where no window is ever opened. Where
# that is missing, its headless build takes the place of the same files.
repair_opencv() {
  local reason version
  reason="$("$VENV_PYTHON" -c 'import cv2' 2>&1)" && return
  printf 'OpenCV does not load (%s); installing its headless build\n' "${reason##*$'\n'}"
  version="$("$VENV_PYTHON" -c \
    'from importlib.metadata import version; print(version("opencv-python"))')"
  pip_install --no-deps --force-reinstall "opencv-python-headless==$version"
  "$VENV_PYTHON" -c 'import cv2'
}

# Errors only: the list of downloads would bury what the command prints itself.
pip_install() {
  "$VENV_PYTHON" -m pip install -qq --disable-pip-version-check "$@"
}

# Says what the environment has to hold: the requirements and the checkout that
# the editable install points to.
fingerprint() {
  "$VENV_PYTHON" - "$REPO_ROOT" "$@" <<'PYTHON'
import hashlib, pathlib, sys

root = pathlib.Path(sys.argv[1])
digest = hashlib.sha256('\0'.join(sys.argv[1:]).encode())
for path in [root / 'setup.py', *sorted((root / 'requirements').glob('*.txt'))]:
    digest.update(path.read_bytes())
print(digest.hexdigest()[:16])
PYTHON
}

# What both commands of the README need, by version and hash, whatever the extras.
# PyTorch differs by machine: one that is there already stays.
install_locked() {
  local requirements="$REPO_ROOT/requirements"
  "$VENV_PYTHON" -c 'import torch' 2>/dev/null ||
    pip_install -c "$requirements/constraints.txt" torch || return
  pip_install --no-deps --require-hashes -r "$requirements/lock.txt" || return
  pip_install --no-deps --no-build-isolation -e "$REPO_ROOT"
}

install_extras() {
  pip_install -c "$REPO_ROOT/requirements/constraints.txt" -e "$REPO_ROOT[$1]"
}

prepare_environment() {
  local venv="${MMCADFORMER_VENV:-$REPO_ROOT/.venv}" extras stamps stamp
  VENV_PYTHON="$venv/bin/python"
  if ! is_supported_python "$VENV_PYTHON" ||
    ! "$VENV_PYTHON" -m pip --version >/dev/null 2>&1; then
    create_environment "$venv"
  fi

  extras="$(IFS=,; printf '%s' "$*")"
  stamps="$venv/mmcadformer"
  # Stamps of another checkout don't count: the editable install has moved.
  if [ "$(cat "$stamps/checkout" 2>/dev/null)" != "$REPO_ROOT" ]; then
    rm -rf "$stamps"
  fi
  stamp="$stamps/$(fingerprint "${MMCADFORMER_LOCKED:-}" "$@")"
  [ -e "$stamp" ] && return

  printf 'Installing mmcadformer[%s] into %s; the first time takes minutes\n' \
    "$extras" "$venv"
  if [ -n "${MMCADFORMER_LOCKED:-}" ]; then
    install_locked || fail 'the installation failed, see above'
  else
    install_extras "$extras" || fail 'the installation failed, see above'
  fi
  repair_opencv || fail 'OpenCV does not load, see above'
  mkdir -p "$stamps"
  printf '%s\n' "$REPO_ROOT" >"$stamps/checkout"
  touch "$stamp"
}
