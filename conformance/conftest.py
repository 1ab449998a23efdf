import boto3
import pytest

import calls
import support


@pytest.fixture(params=["trusting", "strict"])
def caller(request):
    """A caller on each server in turn."""
    return support.trusting() if request.param == "trusting" else support.strict()


@pytest.fixture
def alone():
    """A caller on the trusting server in an account of its own."""
    return support.trusting()


@pytest.fixture
def kms(alone):
    return alone.client()


@pytest.fixture
def key(kms):
    """The ARN of a new key."""
    return support.new_key(kms)["Arn"]


def pytest_sessionfinish():
    calls.save(f"boto3 {boto3.__version__}")
