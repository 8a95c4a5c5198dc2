# SPDX-License-Identifier: Apache-2.0
"""What every room may use; imports nothing of the package but itself."""
