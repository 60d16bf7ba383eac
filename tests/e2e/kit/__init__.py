# SPDX-License-Identifier: Apache-2.0
"""What the black-box tests share: clients, the broker under test, the oracle, the engine."""
