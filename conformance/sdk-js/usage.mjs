// What a key was last used for, and how much with which material. The server writes it down every two seconds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import * as sdk from '@aws-sdk/client-kms';
import { bytes, trusting } from './support.mjs';

// eventually looks until done, 20 seconds at most, and returns what was seen last.
async function eventually(look, done) {
  let seen;
  for (let n = 0; n < 100; n++) {
    seen = await look();
    if (done(seen)) break;
    await setTimeout(200);
  }
  return seen;
}

test('usage of a key and of its material', async () => {
  const kms = trusting();
  const { KeyId, CurrentKeyMaterialId } = await kms.newKey();
  const look = async () => (await kms.send(new sdk.GetKeyLastUsageCommand({ KeyId }))).KeyLastUsage;
  assert.deepEqual(await look(), {});
  const reply = await kms.send(new sdk.EncryptCommand({ KeyId, Plaintext: bytes('12345') }));
  const last = await eventually(look, (usage) => usage.Operation);
  assert.equal(last.Operation, 'Encrypt');
  assert.equal(last.KmsRequestId, reply.$metadata.requestId);
  assert.ok(last.Timestamp instanceof Date);
  const { Materials } = await kms.keyturn('GetKeyMaterialUsage', { KeyId });
  assert.deepEqual(
    Materials.map((m) => [m.KeyMaterialId, m.Current, m.EncryptionCount, m.EncryptedBytes, m.DecryptionCount]),
    [[CurrentKeyMaterialId, true, 1, 5, 0]],
  );
});
