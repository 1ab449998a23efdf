import base64

import pytest

import support
from awscli_command import Aws


@pytest.fixture
def aws(alone):
    """The command in an account of its own on the trusting server."""
    return Aws(alone, AWS_ACCESS_KEY_ID=alone.account, AWS_SECRET_ACCESS_KEY="anything")


@pytest.fixture
def strict_aws():
    """The command on the strict server, with the profile of its credentials file."""
    return Aws(support.strict(), AWS_PROFILE="keyturn")


@pytest.fixture(params=["aws", "strict_aws"], ids=["trusting", "strict"])
def either_aws(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def blob_file(tmp_path):
    """Writes a base64 text of a reply to a file, and returns the argument that names it."""

    def write(text):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.bin"
        path.write_bytes(base64.b64decode(text))
        return f"fileb://{path}"

    return write

