// Keys, their lists, encryption and data keys.
import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-kms';
import { bytes, dayMs, refused, text, trusting } from './support.mjs';

async function collect(paginator, items) {
  const all = [];
  const sizes = [];
  for await (const page of paginator) {
    all.push(...page[items]);
    sizes.push(page[items].length);
  }
  return [all, sizes];
}

test('paginators', async () => {
  const kms = trusting();
  const arns = new Set();
  for (let n = 0; n < 6; n++) arns.add((await kms.newKey()).Arn);
  const [KeyId] = arns;
  for (let n = 0; n < 3; n++) await kms.send(new sdk.CreateAliasCommand({ AliasName: `alias/n${n}`, TargetKeyId: KeyId }));
  const Tags = ['a', 'b', 'c', 'd', 'e'].map((TagKey) => ({ TagKey, TagValue: '' }));
  await kms.send(new sdk.TagResourceCommand({ KeyId, Tags }));
  const config = { client: kms.kms, pageSize: 2 };
  const [keys, keyPages] = await collect(sdk.paginateListKeys(config, {}), 'Keys');
  assert.deepEqual(new Set(keys.map((k) => k.KeyArn)), arns);
  assert.deepEqual(keyPages, [2, 2, 2]);
  const [aliases, aliasPages] = await collect(sdk.paginateListAliases(config, { KeyId }), 'Aliases');
  assert.deepEqual(aliases.map((a) => a.AliasName).sort(), ['alias/n0', 'alias/n1', 'alias/n2']);
  assert.deepEqual(aliasPages, [2, 1]);
  const [tags, tagPages] = await collect(sdk.paginateListResourceTags(config, { KeyId }), 'Tags');
  assert.deepEqual(tags.map((t) => t.TagKey).sort(), ['a', 'b', 'c', 'd', 'e']);
  assert.deepEqual(tagPages, [2, 2, 1]);
});

test('encryption context', async () => {
  const kms = trusting();
  const { KeyId } = await kms.newKey();
  const EncryptionContext = { b: '2', a: '1', 'schlüssel 鍵': '🔑', empty: '' };
  const { CiphertextBlob } = await kms.send(new sdk.EncryptCommand({ KeyId, Plaintext: bytes('x'), EncryptionContext }));
  const turned = Object.fromEntries(Object.entries(EncryptionContext).reverse());
  const opened = await kms.send(new sdk.DecryptCommand({ CiphertextBlob, EncryptionContext: turned }));
  assert.equal(text(opened.Plaintext), 'x');
  for (const wrong of [undefined, { ...EncryptionContext, a: '2' }, { ...EncryptionContext, more: '' }]) {
    await refused(kms.send(new sdk.DecryptCommand({ CiphertextBlob, EncryptionContext: wrong })), 'InvalidCiphertextException', '');
  }
});

for (const [params, size] of [
  [{ KeySpec: 'AES_256' }, 32],
  [{ KeySpec: 'AES_128' }, 16],
  [{ NumberOfBytes: 24 }, 24],
]) {
  test(`envelope encryption with a data key of ${size} bytes`, async () => {
    const kms = trusting();
    const { KeyId } = await kms.newKey();
    const algorithm = `aes-${size * 8}-gcm`;
    const made = await kms.send(new sdk.GenerateDataKeyCommand({ KeyId, ...params }));
    assert.equal(made.Plaintext.length, size);
    const [nonce, document] = [randomBytes(12), randomBytes(100_000)];
    const cipher = createCipheriv(algorithm, made.Plaintext, nonce);
    const body = Buffer.concat([cipher.update(document), cipher.final()]);
    await kms.send(new sdk.RotateKeyOnDemandCommand({ KeyId }));
    const again = await kms.send(new sdk.DecryptCommand({ CiphertextBlob: made.CiphertextBlob }));
    assert.equal(again.KeyMaterialId, made.KeyMaterialId);
    const decipher = createDecipheriv(algorithm, again.Plaintext, nonce).setAuthTag(cipher.getAuthTag());
    assert.deepEqual(Buffer.concat([decipher.update(body), decipher.final()]), document);
    const hidden = await kms.send(new sdk.GenerateDataKeyWithoutPlaintextCommand({ KeyId, ...params }));
    assert.equal(hidden.Plaintext, undefined);
    const opened = await kms.send(new sdk.DecryptCommand({ CiphertextBlob: hidden.CiphertextBlob }));
    assert.equal(opened.Plaintext.length, size);
  });
}

test('re-encryption', async () => {
  const kms = trusting();
  const [one, two] = [await kms.newKey(), await kms.newKey()];
  const { CiphertextBlob } = await kms.send(new sdk.EncryptCommand({ KeyId: one.KeyId, Plaintext: bytes('moved') }));
  const DestinationEncryptionContext = { to: '2' };
  const moved = await kms.send(
    new sdk.ReEncryptCommand({ CiphertextBlob, DestinationKeyId: two.KeyId, DestinationEncryptionContext }),
  );
  assert.deepEqual([moved.SourceKeyId, moved.KeyId], [one.Arn, two.Arn]);
  assert.equal(moved.SourceKeyMaterialId, one.CurrentKeyMaterialId);
  assert.equal(moved.DestinationKeyMaterialId, two.CurrentKeyMaterialId);
  const opened = await kms.send(
    new sdk.DecryptCommand({ CiphertextBlob: moved.CiphertextBlob, EncryptionContext: DestinationEncryptionContext }),
  );
  assert.equal(text(opened.Plaintext), 'moved');
});

test('random bytes', async () => {
  const kms = trusting();
  const { Plaintext } = await kms.send(new sdk.GenerateRandomCommand({ NumberOfBytes: 1024 }));
  assert.equal(Plaintext.length, 1024);
  assert.ok(new Set(Plaintext).size > 200);
});

test('description and policy', async () => {
  const kms = trusting();
  const { KeyId } = await kms.newKey();
  await kms.send(new sdk.UpdateKeyDescriptionCommand({ KeyId, Description: 'für alles' }));
  assert.equal((await kms.send(new sdk.DescribeKeyCommand({ KeyId }))).KeyMetadata.Description, 'für alles');
  const { Policy } = await kms.send(new sdk.GetKeyPolicyCommand({ KeyId, PolicyName: 'default' }));
  assert.equal(JSON.parse(Policy).Statement[0].Principal.AWS, `arn:aws:iam::${kms.account}:root`);
  const changed = Policy.replace('key-default-1', 'mine');
  await kms.send(new sdk.PutKeyPolicyCommand({ KeyId, PolicyName: 'default', Policy: changed }));
  assert.equal((await kms.send(new sdk.GetKeyPolicyCommand({ KeyId }))).Policy, changed);
});

test('AWS managed key', async () => {
  const kms = trusting();
  const { KeyMetadata } = await kms.send(new sdk.DescribeKeyCommand({ KeyId: 'alias/aws/s3' }));
  assert.equal(KeyMetadata.KeyManager, 'AWS');
  const { Aliases } = await kms.send(new sdk.ListAliasesCommand({}));
  assert.deepEqual(Aliases.map((a) => [a.AliasName, a.TargetKeyId]), [['alias/aws/s3', KeyMetadata.KeyId]]);
});

test('deletion', async () => {
  const kms = trusting();
  const { Arn: KeyId } = await kms.newKey();
  const schedule = () => kms.send(new sdk.ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
  assert.equal((await schedule()).KeyState, 'PendingDeletion');
  assert.equal((await kms.send(new sdk.CancelKeyDeletionCommand({ KeyId }))).KeyId, KeyId);
  const { DeletionDate } = await schedule();
  assert.ok(DeletionDate instanceof Date);
  await kms.advance((8 * dayMs) / 1000);
  await refused(kms.send(new sdk.DescribeKeyCommand({ KeyId })), 'NotFoundException', `Key '${KeyId}' does not exist`);
});
