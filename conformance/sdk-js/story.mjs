// The story that keyturn is for: a key's name stays, its material changes, and nothing encrypted before is ever lost.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import {
  CreateAliasCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  GetKeyRotationStatusCommand,
  ListKeyRotationsCommand,
  RotateKeyOnDemandCommand,
  UpdateAliasCommand,
  paginateListKeyRotations,
} from '@aws-sdk/client-kms';
import { bytes, dayMs, refused, strict, text, trusting } from './support.mjs';

for (const [name, newCaller] of Object.entries({ trusting, strict })) {
  test(`three years of rotations, ${name} server`, async () => {
    const kms = newCaller();
    const meta = await kms.newKey({ Description: 'the story' });
    const KeyId = meta.KeyId;
    await kms.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 90 }));
    const status = await kms.send(new GetKeyRotationStatusCommand({ KeyId }));
    assert.equal(status.KeyRotationEnabled, true);
    assert.equal(status.RotationPeriodInDays, 90);
    assert.ok(Math.abs(status.NextRotationDate - meta.CreationDate - 90 * dayMs) < 60_000);
    const EncryptionContext = { year: '0' };
    const old = await kms.send(new EncryptCommand({ KeyId, Plaintext: bytes('kept'), EncryptionContext }));
    assert.equal(old.KeyId, meta.Arn);

    await kms.advance((3 * 365 * dayMs) / 1000 + 1);

    const { Rotations } = await kms.send(new ListKeyRotationsCommand({ KeyId }));
    const dates = Rotations.map((r) => r.RotationDate.getTime()).sort((a, b) => a - b);
    const want = Array.from({ length: 12 }, (_, n) => status.NextRotationDate.getTime() + n * 90 * dayMs);
    assert.deepEqual(dates, want);
    assert.equal(new Set(Rotations.map((r) => r.KeyMaterialId)).size, 12);
    assert.ok(Rotations.every((r) => r.RotationType === 'AUTOMATIC' && r.KeyMaterialId !== meta.CurrentKeyMaterialId));
    assert.equal(Rotations.filter((r) => r.KeyMaterialState === 'CURRENT').length, 1);

    const paged = [];
    const sizes = [];
    for await (const page of paginateListKeyRotations({ client: kms.kms, pageSize: 5 }, { KeyId })) {
      paged.push(...page.Rotations);
      sizes.push(page.Rotations.length);
    }
    assert.deepEqual(sizes, [5, 5, 2]);
    assert.deepEqual(paged, Rotations);

    const opened = await kms.send(new DecryptCommand({ CiphertextBlob: old.CiphertextBlob, EncryptionContext }));
    assert.equal(text(opened.Plaintext), 'kept');
    assert.equal(opened.KeyId, meta.Arn);
    assert.equal(opened.KeyMaterialId, meta.CurrentKeyMaterialId);

    const before = await kms.send(new GetKeyRotationStatusCommand({ KeyId }));
    assert.equal((await kms.send(new RotateKeyOnDemandCommand({ KeyId }))).KeyId, meta.Arn);
    const after = await kms.send(new GetKeyRotationStatusCommand({ KeyId }));
    assert.deepEqual(after.NextRotationDate, before.NextRotationDate);
    const all = (await kms.send(new ListKeyRotationsCommand({ KeyId }))).Rotations;
    const onDemand = all.filter((r) => r.RotationType === 'ON_DEMAND');
    assert.equal(all.length, 13);
    const now = (await kms.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata.CurrentKeyMaterialId;
    assert.deepEqual(onDemand.map((r) => r.KeyMaterialId), [now]);
  });

  test(`an alias moves to another key, ${name} server`, async () => {
    const kms = newCaller();
    const [one, two] = [await kms.newKey(), await kms.newKey()];
    const AliasName = `alias/app-${randomUUID()}`;
    await kms.send(new CreateAliasCommand({ AliasName, TargetKeyId: one.KeyId }));
    const old = await kms.send(new EncryptCommand({ KeyId: AliasName, Plaintext: bytes('old') }));
    await kms.send(new UpdateAliasCommand({ AliasName, TargetKeyId: two.KeyId }));
    const young = await kms.send(new EncryptCommand({ KeyId: AliasName, Plaintext: bytes('new') }));
    assert.deepEqual([old.KeyId, young.KeyId], [one.Arn, two.Arn]);
    const opened = await kms.send(new DecryptCommand({ CiphertextBlob: old.CiphertextBlob }));
    assert.deepEqual([text(opened.Plaintext), opened.KeyId], ['old', one.Arn]);
    await refused(
      kms.send(new DecryptCommand({ CiphertextBlob: old.CiphertextBlob, KeyId: AliasName })),
      'IncorrectKeyException',
      'The key ID in the request does not identify a CMK that can perform this operation.',
    );
  });
}
