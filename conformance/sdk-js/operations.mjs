// The table of operations, operations.json, as it is run through this SDK; ../operations.py says what the entries mean.
import { constants, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-kms';
import { bytes, contains, noSuchKey, readShared as read, refused, region, trusting } from './support.mjs';

const table = JSON.parse(read('operations.json'));
const model = JSON.parse(read('kms.model.json'));

// What each state of a key is called where it refuses something.
const refusals = {
  Disabled: '${key} is disabled.',
  PendingDeletion: '${key} is pending deletion.',
  PendingImport: '${key} is pending import.',
};
const dryRun = 'The request would have succeeded, but the DryRun option is set.';

// built tells of each operation whether the server has it, by its own golden table.
const built = Object.fromEntries(
  read('operations.md')
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter((row) => row.length > 3 && row[1].startsWith('kms.') && row[3] !== 'internal')
    .map((row) => [row[1].replace('kms.', ''), row[2] === 'yes']),
);

function* casesOf(operation, entry) {
  if (!built[operation]) {
    yield ['not built', { code: 'UnsupportedOperationException' }];
    return;
  }
  if (!entry.elsewhere) yield ['success', { reply: entry.reply ?? {} }];
  if (entry.params?.KeyId === '${key}') {
    yield ['unknown key', { code: 'NotFoundException', params: { KeyId: '${missing}' }, message: "Key '${missing}' does not exist" }];
    yield ['no key ID', { code: 'NotFoundException', params: { KeyId: 'nothing' }, message: "Invalid keyId 'nothing'" }];
  }
  if (model.shapes[model.operations[operation].input].members.DryRun) {
    yield ['dry run', { code: 'DryRunOperationException', params: { DryRun: true }, message: dryRun }];
  }
  const states = typeof entry.states === 'string' ? table.states[entry.states] : (entry.states ?? {});
  for (const [state, result] of Object.entries(states)) {
    yield [`${state} key`, result === 'ok' ? { state, reply: {} } : { state, code: result, message: refusals[state] }];
  }
  for (const [n, c] of (entry.errors ?? []).entries()) {
    if ((built[c.built] ?? true) && !(built[c.unbuilt] ?? false)) yield [`${c.code} ${n + 1}`, c];
  }
}

// Run is one case on a server: its caller, and what its names stand for.
class Run {
  constructor(caller) {
    this.caller = caller;
    this.names = { account: caller.account, region, missing: caller.arn(`key/${noSuchKey}`) };
  }

  // case runs a case and judges the answer.
  async case(operation, entry, c) {
    const key = c.key ?? entry.key;
    if (key) await this.newKey(key);
    for (const call of c.before ?? entry.before ?? []) await this.before(...call);
    if (c.state) await this.moveTo(c.state, key);
    const call = () => this.call(operation, this.fill({ ...entry.params, ...c.params }));
    if (!c.code) {
      contains(await call(), this.fill(c.reply));
      return;
    }
    await refused(call(), c.code, c.message && this.fill(c.message));
  }

  async newKey(params) {
    const meta = await this.caller.newKey(params);
    Object.assign(this.names, { key: meta.Arn, keyId: meta.KeyId, material: meta.CurrentKeyMaterialId });
  }

  async before(operation, params, save = {}) {
    const filled = this.fill(params);
    const reply = operation === '@wrap' ? wrap(filled) : await this.call(operation, filled);
    for (const [name, path] of Object.entries(save)) {
      this.names[name] = path.split('.').reduce((value, member) => value[member], reply);
    }
  }

  // moveTo puts the key into a state; a key that waits for its material is another one.
  async moveTo(state, key) {
    const KeyId = this.names.key;
    if (state === 'Disabled') await this.call('DisableKey', { KeyId });
    if (state === 'PendingDeletion') await this.call('ScheduleKeyDeletion', { KeyId, PendingWindowInDays: 7 });
    if (state === 'PendingImport') await this.newKey({ ...key, Origin: 'EXTERNAL' });
    const { KeyMetadata } = await this.call('DescribeKey', { KeyId: this.names.key });
    contains(KeyMetadata.KeyState, state);
  }

  call(operation, params) {
    return this.caller.send(new sdk[`${operation}Command`](params));
  }

  // fill puts values for names and for bytes into a value of the table.
  fill(value) {
    if (typeof value === 'string') {
      const whole = /^\$\{(\w+)\}$/.exec(value);
      return whole ? this.names[whole[1]] : value.replace(/\$\{(\w+)\}/g, (_, name) => this.names[name]);
    }
    if (Array.isArray(value)) return value.map((item) => this.fill(item));
    if (value === null || typeof value !== 'object') return value;
    if ('$text' in value) return bytes(value.$text);
    if ('$repeat' in value) return new Uint8Array(value.$repeat).fill(120);
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, this.fill(item)]));
  }
}

// wrap returns random key material, wrapped with RSAES_OAEP_SHA_256.
function wrap({ PublicKey, Bytes }) {
  const key = createPublicKey({ key: Buffer.from(PublicKey), format: 'der', type: 'spki' });
  return { Wrapped: publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, randomBytes(Bytes)) };
}

for (const [operation, entry] of Object.entries(table.operations)) {
  if (!sdk[`${operation}Command`]) continue; // coverage.py says which
  for (const [name, c] of casesOf(operation, entry)) {
    test(`${operation}: ${name}`, () => new Run(trusting()).case(operation, entry, c));
  }
}
