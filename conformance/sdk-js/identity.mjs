// Who is asking: STS, signatures, accounts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DescribeKeyCommand, EncryptCommand, KMSClient, ListKeysCommand } from '@aws-sdk/client-kms';
import { GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import { bytes, refused, strict, trusting } from './support.mjs';

const mismatch =
  'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and ' +
  'signing method. Consult the service documentation for details.';
const invalidToken = 'The security token included in the request is invalid.';

for (const [name, newCaller] of Object.entries({ trusting, strict })) {
  test(`GetCallerIdentity, ${name} server`, async () => {
    const caller = newCaller();
    const who = await caller.sts().send(new GetCallerIdentityCommand({}));
    assert.equal(who.Account, caller.account);
    assert.equal(who.Arn, `arn:aws:iam::${caller.account}:root`);
    assert.ok(who.UserId);
  });
}

test('a wrong secret', async () => {
  const caller = strict({ secretAccessKey: 'not the secret' });
  await refused(caller.send(new ListKeysCommand({})), 'InvalidSignatureException', mismatch);
  await refused(caller.sts().send(new GetCallerIdentityCommand({})), 'SignatureDoesNotMatch', mismatch, 403);
});

test('an unknown access key', async () => {
  const caller = strict({ accessKeyId: 'AKIAIOSFODNN7EXAMPLE' });
  await refused(caller.send(new ListKeysCommand({})), 'UnrecognizedClientException', invalidToken);
  await refused(caller.sts().send(new GetCallerIdentityCommand({})), 'InvalidClientTokenId', invalidToken, 403);
});

for (const [minutes, message] of [
  [-10, /^Signature expired: .* - 5 min\.\)$/],
  [10, /^Signature not yet current: .* \+ 5 min\.\)$/],
]) {
  test(`a client whose clock is wrong by ${minutes} minutes`, async (t) => {
    const { config } = strict();
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + minutes * 60 * 1000 });
    await assert.rejects(new KMSClient(config).send(new ListKeysCommand({})), { name: 'InvalidSignatureException', message });
    // With a second attempt the SDK corrects itself by the Date header of the refusal.
    const listed = await new KMSClient({ ...config, maxAttempts: 2 }).send(new ListKeysCommand({}));
    assert.equal(listed.$metadata.attempts, 2);
  });
}

test('accounts are isolated', async () => {
  const [mine, theirs] = [trusting(), trusting()];
  const { Arn: KeyId } = await mine.newKey();
  await refused(theirs.send(new DescribeKeyCommand({ KeyId })), 'AccessDeniedException');
  await refused(theirs.send(new EncryptCommand({ KeyId, Plaintext: bytes('x') })), 'AccessDeniedException');
  assert.deepEqual((await theirs.send(new ListKeysCommand({}))).Keys, []);
});
