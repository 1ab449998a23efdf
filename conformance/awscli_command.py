"""The aws command, run as a process."""

import json
import os
import subprocess
import sys


class Refused(Exception):
    """The CLI ended with an error: its exit code, the error's code and message."""

    def __init__(self, status, stderr):
        super().__init__(stderr)
        self.status = status
        self.stderr = stderr.strip()


class Aws:
    """The real aws command, as one caller."""

    def __init__(self, caller, **env):
        self.caller = caller
        self.command = os.path.join(os.path.dirname(sys.executable), "aws")
        self.env = {
            **os.environ,
            "AWS_ENDPOINT_URL_KMS": caller.endpoint,
            "AWS_ENDPOINT_URL_STS": caller.endpoint,
            "AWS_ENDPOINT_URL_IAM": caller.endpoint,
            "AWS_MAX_ATTEMPTS": "1",
            **env,
        }

    def start(self, *args):
        """Starts a command; the answer is a function that waits for it and returns its output, decoded from JSON."""
        process = subprocess.Popen(
            [self.command, *args], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

        def result():
            try:
                out, err = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            if process.returncode:
                raise Refused(process.returncode, err)
            return json.loads(out) if out.strip() else None

        return result

    def __call__(self, *args):
        return self.start(*args)()

    def signed_in(self, key):
        """The same command with another access key, as the CLI prints it: of a user, or of a session."""
        env = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        if "SessionToken" in key:
            env["AWS_SESSION_TOKEN"] = key["SessionToken"]
        return Aws(self.caller, **env)

    def iam(self, operation, *args):
        return self("iam", operation, *args)

    def sts(self, operation, *args):
        return self("sts", operation, *args)

    def kms(self, operation, *args):
        return self("kms", operation, *args)
