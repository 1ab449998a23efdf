// What is refused, as the SDK's exceptions. The SDK sends whatever it is given, so what is invalid needs no tricks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-kms';
import { bytes, noSuchKey, refused, trusting } from './support.mjs';

test('names that name nothing', async () => {
  const kms = trusting();
  const missing = kms.arn(`key/${noSuchKey}`);
  for (const [KeyId, message] of [
    [noSuchKey, `Key '${missing}' does not exist`],
    [missing, `Key '${missing}' does not exist`],
    ['x', "Invalid keyId 'x'"],
    ['alias/none', `Alias ${kms.arn('alias/none')} is not found.`],
    [missing.replace('eu-central-1', 'us-east-1'), 'Invalid arn us-east-1'],
  ]) {
    const call = kms.send(new sdk.DescribeKeyCommand({ KeyId }));
    await refused(call, 'NotFoundException', message);
    await assert.rejects(call, sdk.NotFoundException);
  }
});

test('states', async () => {
  const kms = trusting();
  const { Arn: KeyId } = await kms.newKey();
  const encrypt = () => kms.send(new sdk.EncryptCommand({ KeyId, Plaintext: bytes('x') }));
  await kms.send(new sdk.DisableKeyCommand({ KeyId }));
  await refused(encrypt(), 'DisabledException', `${KeyId} is disabled.`);
  await assert.rejects(encrypt(), sdk.DisabledException);
  await kms.send(new sdk.ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
  await refused(encrypt(), 'KMSInvalidStateException', `${KeyId} is pending deletion.`);
  await assert.rejects(encrypt(), sdk.KMSInvalidStateException);
});

test('ciphertexts that do not open', async () => {
  const kms = trusting();
  const [one, two] = [await kms.newKey(), await kms.newKey()];
  const sealed = await kms.send(
    new sdk.EncryptCommand({ KeyId: one.KeyId, Plaintext: bytes('x'), EncryptionContext: { a: 'bc' } }),
  );
  const altered = Uint8Array.from(sealed.CiphertextBlob);
  altered[altered.length - 1] ^= 1;
  const decrypt = (params) => kms.send(new sdk.DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob, ...params }));
  for (const params of [
    { EncryptionContext: { ab: 'c' } },
    { EncryptionContext: {} },
    { EncryptionContext: { a: 'bc' }, CiphertextBlob: altered },
    { CiphertextBlob: bytes('nothing') },
  ]) {
    await refused(decrypt(params), 'InvalidCiphertextException', '');
    await assert.rejects(decrypt(params), sdk.InvalidCiphertextException);
  }
  const wrongKey = () => decrypt({ EncryptionContext: { a: 'bc' }, KeyId: two.KeyId });
  await refused(
    wrongKey(),
    'IncorrectKeyException',
    'The key ID in the request does not identify a CMK that can perform this operation.',
  );
  await assert.rejects(wrongKey(), sdk.IncorrectKeyException);
});

test('an alias that exists', async () => {
  const kms = trusting();
  const { KeyId: TargetKeyId } = await kms.newKey();
  const create = () => kms.send(new sdk.CreateAliasCommand({ AliasName: 'alias/taken', TargetKeyId }));
  await create();
  await refused(create(), 'AlreadyExistsException', `An alias with the name ${kms.arn('alias/taken')} already exists`);
  await assert.rejects(create(), sdk.AlreadyExistsException);
});

test('25 rotations on demand', async () => {
  const kms = trusting();
  const { Arn: KeyId } = await kms.newKey();
  const rotate = () => kms.send(new sdk.RotateKeyOnDemandCommand({ KeyId }));
  for (let n = 0; n < 25; n++) await rotate();
  await refused(
    rotate(),
    'LimitExceededException',
    'The on-demand rotations limit has been reached for the given keyId. ' +
      `No more on-demand rotations can be performed for this key: ${KeyId}`,
  );
  await assert.rejects(rotate(), sdk.LimitExceededException);
});

test('dry run', async () => {
  const kms = trusting();
  const { KeyId } = await kms.newKey();
  const call = kms.send(new sdk.GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256', DryRun: true }));
  await refused(call, 'DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.');
  await assert.rejects(call, sdk.DryRunOperationException);
});

test('validation', async () => {
  const kms = trusting();
  const one = (rest) => `1 validation error detected: Value ${rest}`;
  for (const [command, message] of [
    [
      new sdk.GenerateRandomCommand({ NumberOfBytes: 0 }),
      one("'0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1"),
    ],
    [
      new sdk.EncryptCommand({ KeyId: 'x', Plaintext: new Uint8Array(4097) }),
      one("at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"),
    ],
    [
      new sdk.EnableKeyRotationCommand({ KeyId: 'x', RotationPeriodInDays: 89 }),
      one("'89' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value greater than or equal to 90"),
    ],
    [new sdk.DescribeKeyCommand({}), one("null at 'keyId' failed to satisfy constraint: Member must not be null")],
    [
      new sdk.TagResourceCommand({ KeyId: 'x', Tags: [{ TagKey: '', TagValue: '' }] }),
      one("'' at 'tags.1.member.tagKey' failed to satisfy constraint: Member must have length greater than or equal to 1"),
    ],
  ]) {
    await refused(kms.send(command), 'ValidationException', message);
  }
});

test('values of the wrong type', async () => {
  await refused(trusting().send(new sdk.ListKeysCommand({ Marker: { a: 1 } })), 'SerializationException');
});
