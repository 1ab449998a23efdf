// What the JavaScript tests share: clients for the two servers, and the clock that keyturn dev lets a test turn.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { KMSClient, CreateKeyCommand, GenerateRandomCommand } from '@aws-sdk/client-kms';
import { STSClient } from '@aws-sdk/client-sts';
import { watch } from './calls.mjs';

export const region = 'eu-central-1';
export const otherRegion = 'us-east-1';
export const defaultAccount = '000000000000';
export const noSuchKey = '00000000-0000-4000-8000-000000000000';
export const dayMs = 24 * 60 * 60 * 1000;

// readShared reads a file that the Python tests read, too; conformance/run puts them beside this folder.
export const readShared = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');

// What each key spec is for, by usage and algorithm; ../support.py says more.
export const specs = JSON.parse(readShared('keyspecs.json'));

// Caller is one identity on one server.
class Caller {
  constructor(endpoint, credentials, account) {
    Object.assign(this, { endpoint, account });
    this.config = { endpoint, region, credentials, maxAttempts: 1 };
    this.kms = this.client();
  }

  // client returns a client for a region.
  client(in_ = region) {
    const client = new KMSClient({ ...this.config, region: in_ });
    watch(client);
    return client;
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

  // keyturn calls an operation that only keyturn has. The SDK does not know it, so another one is turned into it before it is signed.
  async keyturn(operation, params) {
    const client = new KMSClient(this.config);
    let reply;
    client.middlewareStack.add(
      (next) => (args) => {
        const body = JSON.stringify(params);
        args.request.headers['x-amz-target'] = `Keyturn.${operation}`;
        args.request.headers['content-length'] = String(body.length);
        args.request.body = body;
        return next(args);
      },
      { step: 'build', priority: 'low', name: 'keyturnOperation' },
    );
    client.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const chunks = await result.response.body.toArray();
        reply = Buffer.concat(chunks);
        result.response.body = Readable.from([reply]);
        return result;
      },
      { step: 'deserialize', priority: 'low', name: 'keyturnReply' },
    );
    await client.send(new GenerateRandomCommand({ NumberOfBytes: 1 }));
    client.destroy();
    return JSON.parse(reply);
  }

  // advance moves the server's clock.
  advance(seconds) {
    return this.keyturn('AdvanceClock', { Seconds: seconds });
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

// contains checks that got says everything that want says. '*' is any value that is there; lists have the same length.
export function contains(got, want, where = 'reply') {
  if (want === '*') {
    assert.notEqual(got ?? null, null, where);
  } else if (want instanceof Uint8Array) {
    assert.deepEqual(Buffer.from(got), Buffer.from(want), where);
  } else if (Array.isArray(want)) {
    assert.equal(got?.length, want.length, where);
    want.forEach((item, n) => contains(got[n], item, `${where}[${n}]`));
  } else if (want !== null && typeof want === 'object') {
    for (const name of Object.keys(want)) contains(got?.[name], want[name], `${where}.${name}`);
  } else {
    assert.equal(got, want, where);
  }
}

export const bytes = (text) => new TextEncoder().encode(text);
export const text = (data) => new TextDecoder().decode(data);
