"""Every operation of the API: success, and each way to be refused that operations.json has."""

import pytest

import operations
import support

CASES = list(operations.cases(support.trusting().client().meta.service_model))


@pytest.mark.parametrize(("operation", "case"), [(o, c) for _, o, c in CASES], ids=[n for n, _, _ in CASES])
def test_operation(alone, operation, case):
    operations.Run(alone).case(operation, case)
