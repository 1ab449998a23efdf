// Multi-Region keys, with a client for each region.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-kms';
import { bytes, otherRegion, refused, region, text, trusting } from './support.mjs';

async function replicated(params = {}) {
  const here = trusting();
  const there = here.client(otherRegion);
  const { KeyId, Arn } = await here.newKey({ MultiRegion: true, ...params });
  const { ReplicaKeyMetadata } = await here.send(new sdk.ReplicateKeyCommand({ KeyId, ReplicaRegion: otherRegion }));
  return { here, there, KeyId, primary: Arn, replica: ReplicaKeyMetadata.Arn };
}

test('a replica has the key of its primary', async () => {
  const { here, there, KeyId, primary, replica } = await replicated();
  assert.match(KeyId, /^mrk-/);
  assert.equal(replica, primary.replace(region, otherRegion));
  const { CiphertextBlob } = await here.send(new sdk.EncryptCommand({ KeyId, Plaintext: bytes('x') }));
  const opened = await there.send(new sdk.DecryptCommand({ CiphertextBlob }));
  assert.deepEqual([text(opened.Plaintext), opened.KeyId], ['x', replica]);
  await refused(there.send(new sdk.RotateKeyOnDemandCommand({ KeyId })), 'UnsupportedOperationException');
  await here.send(new sdk.RotateKeyOnDemandCommand({ KeyId }));
  const young = await there.send(new sdk.EncryptCommand({ KeyId, Plaintext: bytes('y') }));
  const again = await here.send(new sdk.DecryptCommand({ CiphertextBlob: young.CiphertextBlob }));
  assert.deepEqual([text(again.Plaintext), again.KeyId], ['y', primary]);
});

test('signatures of one region, verified in another', async () => {
  const { here, there, primary, replica } = await replicated({ KeySpec: 'ECC_NIST_P384', KeyUsage: 'SIGN_VERIFY' });
  const call = { Message: bytes('m'), SigningAlgorithm: 'ECDSA_SHA_384' };
  const { Signature } = await there.send(new sdk.SignCommand({ KeyId: replica, ...call }));
  assert.equal((await here.send(new sdk.VerifyCommand({ KeyId: primary, Signature, ...call }))).SignatureValid, true);
});

test('the primary moves', async () => {
  const { here, there, KeyId, primary, replica } = await replicated();
  await here.send(new sdk.UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: otherRegion }));
  for (const [client, type] of [[here, 'REPLICA'], [there, 'PRIMARY']]) {
    const { KeyMetadata } = await client.send(new sdk.DescribeKeyCommand({ KeyId }));
    assert.deepEqual(KeyMetadata.MultiRegionConfiguration, {
      MultiRegionKeyType: type,
      PrimaryKey: { Arn: replica, Region: otherRegion },
      ReplicaKeys: [{ Arn: primary, Region: region }],
    });
  }
  const call = here.send(new sdk.UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: otherRegion }));
  await refused(call, 'UnsupportedOperationException');
});

test('a region has its own keys', async () => {
  const here = trusting();
  const { Arn, KeyId } = await here.newKey();
  const there = here.client(otherRegion);
  await refused(there.send(new sdk.DescribeKeyCommand({ KeyId: Arn })), 'NotFoundException', `Invalid arn ${region}`);
  await refused(there.send(new sdk.DescribeKeyCommand({ KeyId })), 'NotFoundException');
  assert.deepEqual((await there.send(new sdk.ListKeysCommand({}))).Keys, []);
});
