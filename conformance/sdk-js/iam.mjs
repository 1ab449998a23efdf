// IAM and STS: a user and a role that is assumed, what the session may do with a key, and errors by their classes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-iam';
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { DecryptCommand, DescribeKeyCommand, EncryptCommand, KMSClient } from '@aws-sdk/client-kms';
import { bytes, refused, text, trusting } from './support.mjs';

const document = (statement) => JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', ...statement }] });
const allow = (Action) => document({ Action, Resource: '*' });

// as returns the credentials of an access key or a session, as clients take them.
const as = ({ AccessKeyId, SecretAccessKey, SessionToken }) => ({
  accessKeyId: AccessKeyId,
  secretAccessKey: SecretAccessKey,
  sessionToken: SessionToken,
});

test('a user assumes a role, whose session uses a key', async () => {
  const caller = trusting();
  const iam = new sdk.IAMClient(caller.config);
  const key = await caller.newKey();
  const { User } = await iam.send(new sdk.CreateUserCommand({ UserName: 'ann', Path: '/team/', Tags: [{ Key: 'team', Value: 'é' }] }));
  assert.equal(User.Arn, `arn:aws:iam::${caller.account}:user/team/ann`);
  assert.ok(User.CreateDate instanceof Date);
  await iam.send(new sdk.PutUserPolicyCommand({ UserName: 'ann', PolicyName: 'p', PolicyDocument: allow('sts:AssumeRole') }));
  const { AccessKey } = await iam.send(new sdk.CreateAccessKeyCommand({ UserName: 'ann' }));
  const { Role } = await iam.send(
    new sdk.CreateRoleCommand({
      RoleName: 'worker',
      AssumeRolePolicyDocument: document({ Principal: { AWS: User.Arn }, Action: 'sts:AssumeRole' }),
    }),
  );
  assert.equal(JSON.parse(decodeURIComponent(Role.AssumeRolePolicyDocument)).Statement[0].Principal.AWS, User.Arn);
  await iam.send(new sdk.PutRolePolicyCommand({ RoleName: 'worker', PolicyName: 'p', PolicyDocument: allow(['kms:Encrypt', 'kms:Decrypt']) }));

  const sts = new STSClient({ ...caller.config, credentials: as(AccessKey) });
  const assumed = await sts.send(new AssumeRoleCommand({ RoleArn: Role.Arn, RoleSessionName: 'job' }));
  assert.ok(assumed.Credentials.Expiration > new Date());
  const session = { ...caller.config, credentials: as(assumed.Credentials) };
  const who = await new STSClient(session).send(new GetCallerIdentityCommand({}));
  assert.equal(who.Arn, `arn:aws:sts::${caller.account}:assumed-role/worker/job`);
  const kms = new KMSClient(session);
  const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId: key.Arn, Plaintext: bytes('kept') }));
  assert.equal(text((await kms.send(new DecryptCommand({ CiphertextBlob }))).Plaintext), 'kept');
  const why = `User: ${who.Arn} is not authorized to perform: kms:DescribeKey on resource: ${key.Arn} because no identity-based policy allows the kms:DescribeKey action`;
  await refused(kms.send(new DescribeKeyCommand({ KeyId: key.Arn })), 'AccessDeniedException', why);
});

test('lists by pages, waiters, and errors', async () => {
  const iam = new sdk.IAMClient(trusting().config);
  const names = Array.from({ length: 12 }, (_, n) => `user-${String(n).padStart(2, '0')}`);
  for (const UserName of names) await iam.send(new sdk.CreateUserCommand({ UserName, Path: `/${'p'.repeat(500)}/` }));
  const seen = [];
  for await (const page of sdk.paginateListUsers({ client: iam, pageSize: 5 }, {})) seen.push(page.Users.map((u) => u.UserName));
  assert.deepEqual(seen.map((page) => page.length), [5, 5, 2]);
  assert.deepEqual(seen.flat(), names);
  const waited = await sdk.waitUntilUserExists({ client: iam, maxWaitTime: 5 }, { UserName: names[0] });
  assert.equal(waited.state, 'SUCCESS');
  await assert.rejects(iam.send(new sdk.GetUserCommand({ UserName: 'nobody' })), (e) => {
    assert.ok(e instanceof sdk.NoSuchEntityException);
    assert.equal(e.message, 'The user with name nobody cannot be found.');
    assert.equal(e.$metadata.httpStatusCode, 404);
    return true;
  });
  await assert.rejects(iam.send(new sdk.CreateUserCommand({ UserName: names[0] })), sdk.EntityAlreadyExistsException);
  await refused(iam.send(new sdk.CreateUserCommand({ UserName: 'no spaces' })), 'ValidationError');
});
