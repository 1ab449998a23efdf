// Imported key material: wrapped here, with every wrapping algorithm of RSA, for every key spec that can have it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-kms';
import * as independent from './independent.mjs';
import { bytes, dayMs, refused, specs, trusting } from './support.mjs';

const message = bytes('m');

function newMaterial(spec) {
  if (spec === 'SYMMETRIC_DEFAULT') return randomBytes(32);
  if (spec.startsWith('HMAC')) return randomBytes(Number(spec.slice(5)) / 8);
  return independent.newPrivate(spec);
}

// importMaterial imports and returns the reply; parameters go into ImportKeyMaterial.
async function importMaterial(kms, KeyId, material, [WrappingAlgorithm, WrappingKeySpec], params = {}) {
  const given = await kms.send(new sdk.GetParametersForImportCommand({ KeyId, WrappingAlgorithm, WrappingKeySpec }));
  return kms.send(
    new sdk.ImportKeyMaterialCommand({
      KeyId,
      ImportToken: given.ImportToken,
      EncryptedKeyMaterial: independent.wrap(WrappingAlgorithm, given.PublicKey, material),
      ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE',
      ...params,
    }),
  );
}

for (const [spec, { usages, import: wrapping }] of Object.entries(specs)) {
  // SM2 wraps where node:crypto cannot: another algorithm takes its place.
  if (!wrapping || !independent.checks(spec)) continue;
  const by = wrapping[0] === 'SM2PKE' ? ['RSA_AES_KEY_WRAP_SHA_256', 'RSA_2048'] : wrapping;
  const [KeyUsage, [algorithm]] = Object.entries(usages).at(-1);
  test(`imported ${spec} by ${by.join(', ')}`, async () => {
    const kms = trusting();
    const meta = await kms.newKey({ KeySpec: spec, KeyUsage, Origin: 'EXTERNAL' });
    assert.equal(meta.KeyState, 'PendingImport');
    const { Arn: KeyId } = meta;
    const material = newMaterial(spec);
    const { KeyMaterialId } = await importMaterial(kms, KeyId, material, by);
    const { KeyMetadata } = await kms.send(new sdk.DescribeKeyCommand({ KeyId }));
    assert.deepEqual([KeyMetadata.KeyState, KeyMetadata.CurrentKeyMaterialId], ['Enabled', KeyMaterialId]);
    if (KeyUsage === 'GENERATE_VERIFY_MAC') {
      const { Mac } = await kms.send(new sdk.GenerateMacCommand({ KeyId, MacAlgorithm: algorithm, Message: message }));
      assert.deepEqual(Buffer.from(Mac), independent.mac(algorithm, material, message));
      return;
    }
    if (spec === 'SYMMETRIC_DEFAULT') {
      const { CiphertextBlob } = await kms.send(new sdk.EncryptCommand({ KeyId, Plaintext: message }));
      assert.equal((await kms.send(new sdk.DecryptCommand({ CiphertextBlob }))).KeyMaterialId, KeyMaterialId);
      return;
    }
    const { PublicKey } = await kms.send(new sdk.GetPublicKeyCommand({ KeyId }));
    assert.deepEqual(Buffer.from(PublicKey), independent.publicOf(spec, material));
  });
}

test('imported material goes, comes back, and expires', async () => {
  const kms = trusting();
  const by = ['RSAES_OAEP_SHA_256', 'RSA_2048'];
  const { Arn: KeyId } = await kms.newKey({ Origin: 'EXTERNAL' });
  const material = randomBytes(32);
  const { KeyMaterialId } = await importMaterial(kms, KeyId, material, by);
  const { CiphertextBlob } = await kms.send(new sdk.EncryptCommand({ KeyId, Plaintext: message }));
  const decrypt = () => kms.send(new sdk.DecryptCommand({ CiphertextBlob }));
  await kms.send(new sdk.DeleteImportedKeyMaterialCommand({ KeyId }));
  await refused(decrypt(), 'KMSInvalidStateException', `${KeyId} is pending import.`);
  const another = importMaterial(kms, KeyId, randomBytes(32), by);
  await refused(another, 'IncorrectKeyMaterialException');
  await assert.rejects(another, sdk.IncorrectKeyMaterialException);
  const now = new Date((await kms.advance(0)).Now * 1000);
  const ValidTo = new Date(now.getTime() + 2 * dayMs);
  const again = await importMaterial(kms, KeyId, material, by, { ExpirationModel: 'KEY_MATERIAL_EXPIRES', ValidTo });
  assert.equal(again.KeyMaterialId, KeyMaterialId);
  assert.deepEqual(Buffer.from((await decrypt()).Plaintext), Buffer.from(message));
  const { KeyMetadata } = await kms.send(new sdk.DescribeKeyCommand({ KeyId }));
  assert.ok(Math.abs(KeyMetadata.ValidTo - ValidTo) < 1000);
  await kms.advance((2 * dayMs) / 1000 + 60);
  await refused(decrypt(), 'KMSInvalidStateException', `${KeyId} is pending import.`);
});

test('import tokens', async () => {
  const kms = trusting();
  const [one, two] = [await kms.newKey({ Origin: 'EXTERNAL' }), await kms.newKey({ Origin: 'EXTERNAL' })];
  const given = await kms.send(
    new sdk.GetParametersForImportCommand({ KeyId: one.KeyId, WrappingAlgorithm: 'RSAES_OAEP_SHA_1', WrappingKeySpec: 'RSA_2048' }),
  );
  const attempt = (KeyId) =>
    kms.send(
      new sdk.ImportKeyMaterialCommand({
        KeyId,
        ImportToken: given.ImportToken,
        EncryptedKeyMaterial: independent.wrap('RSAES_OAEP_SHA_1', given.PublicKey, randomBytes(32)),
        ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE',
      }),
    );
  await assert.rejects(attempt(two.KeyId), sdk.InvalidImportTokenException);
  await kms.advance((25 * 60 * 60 * 1000) / 1000);
  await assert.rejects(attempt(one.KeyId), sdk.ExpiredImportTokenException);
});
