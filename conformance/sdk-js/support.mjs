// What the JavaScript tests share: clients for the two servers, and the clock that keyturn dev lets a test turn.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { KMSClient, CreateKeyCommand, GenerateRandomCommand } from '@aws-sdk/client-kms';
import { STSClient } from '@aws-sdk/client-sts';

export const region = 'eu-central-1';
export const defaultAccount = '000000000000';
export const noSuchKey = '00000000-0000-4000-8000-000000000000';
export const dayMs = 24 * 60 * 60 * 1000;

// Caller is one identity on one server.
class Caller {
  constructor(endpoint, credentials, account) {
    Object.assign(this, { endpoint, account });
    this.config = { endpoint, region, credentials, maxAttempts: 1 };
    this.kms = new KMSClient(this.config);
  }

  send(command) {
    return this.kms.send(command);
  }

  sts() {
    return new STSClient(this.config);
  }

  arn(resource) {
    return `arn:aws:kms:${region}:${this.account}:${resource}`;
  }

  async newKey(params = {}) {
    return (await this.send(new CreateKeyCommand(params))).KeyMetadata;
  }

  // advance moves the server's clock. The SDK does not know the operation, so another one is turned into it before it is signed.
  async advance(seconds) {
    const client = new KMSClient(this.config);
    client.middlewareStack.add(
      (next) => (args) => {
        const body = JSON.stringify({ Seconds: seconds });
        args.request.headers['x-amz-target'] = 'Keyturn.AdvanceClock';
        args.request.headers['content-length'] = String(body.length);
        args.request.body = body;
        return next(args);
      },
      { step: 'build', priority: 'low', name: 'advanceClock' },
    );
    await client.send(new GenerateRandomCommand({ NumberOfBytes: 1 }));
    client.destroy();
  }
}

// trusting returns a caller on the trusting server, in an account that nobody has used yet.
export function trusting(account = String(randomInt(100_000_000_000, 1_000_000_000_000 - 1))) {
  return new Caller(process.env.KEYTURN_TRUSTING, { accessKeyId: account, secretAccessKey: 'anything' }, account);
}

// strict returns the caller whom the strict server knows, or one with something wrong about it.
export function strict(wrong = {}) {
  const file = readFileSync(process.env.AWS_SHARED_CREDENTIALS_FILE, 'utf8');
  const value = (name) => new RegExp(`^${name} = (\\S+)$`, 'm').exec(file)[1];
  const known = { accessKeyId: value('aws_access_key_id'), secretAccessKey: value('aws_secret_access_key') };
  return new Caller(process.env.KEYTURN_STRICT, { ...known, ...wrong }, defaultAccount);
}

// refused expects an error by the class the SDK has for it, its status and its message exactly. Without a message the SDK says
// "UnknownError".
export async function refused(promise, name, message, status = 400) {
  await assert.rejects(promise, (e) => {
    assert.equal(e.name, name);
    if (message !== undefined) assert.equal(e.message, message || 'UnknownError');
    assert.equal(e.$metadata.httpStatusCode, status);
    assert.ok(e.$metadata.requestId);
    return true;
  });
}

export const bytes = (text) => new TextEncoder().encode(text);
export const text = (data) => new TextDecoder().decode(data);
