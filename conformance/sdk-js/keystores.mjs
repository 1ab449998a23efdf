// An external key store: a key whose use needs a proxy, here ../xks_proxy.py.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import * as sdk from '@aws-sdk/client-kms';
import { bytes, dayMs, refused, text, trusting } from './support.mjs';

const folder = process.env.KEYTURN_PROXY;
const proxy = JSON.parse(readFileSync(`${folder}/proxy.json`, 'utf8'));

test('the life of an external key store', async () => {
  const kms = trusting();
  const send = (name, params) => kms.send(new sdk[`${name}Command`](params));
  const { CustomKeyStoreId } = await send('CreateCustomKeyStore', { CustomKeyStoreName: 'mine', ...proxy });
  const state = async () => (await send('DescribeCustomKeyStores', { CustomKeyStoreId })).CustomKeyStores[0].ConnectionState;
  assert.equal(await state(), 'DISCONNECTED');
  const again = send('CreateCustomKeyStore', { CustomKeyStoreName: 'mine', ...proxy });
  await assert.rejects(again, sdk.CustomKeyStoreNameInUseException);

  await send('UpdateCustomKeyStore', { CustomKeyStoreId, NewCustomKeyStoreName: 'renamed' });
  await send('ConnectCustomKeyStore', { CustomKeyStoreId });
  for (let n = 0; n < 100 && (await state()) === 'CONNECTING'; n++) await setTimeout(100);
  assert.equal(await state(), 'CONNECTED');
  await assert.rejects(send('DeleteCustomKeyStore', { CustomKeyStoreId }), sdk.CustomKeyStoreInvalidStateException);

  const params = { Origin: 'EXTERNAL_KEY_STORE', CustomKeyStoreId, XksKeyId: 'key-js' };
  const { Arn: KeyId, XksKeyConfiguration } = await kms.newKey(params);
  assert.deepEqual(XksKeyConfiguration, { Id: 'key-js' });
  await assert.rejects(kms.newKey(params), sdk.XksKeyAlreadyInUseException);
  await assert.rejects(kms.newKey({ ...params, XksKeyId: 'missing-js' }), sdk.XksKeyNotFoundException);
  const EncryptionContext = { a: 'b' };
  const { CiphertextBlob } = await send('Encrypt', { KeyId, Plaintext: bytes('hidden from the proxy'), EncryptionContext });
  assert.equal(text((await send('Decrypt', { CiphertextBlob, EncryptionContext })).Plaintext), 'hidden from the proxy');
  assert.equal(readFileSync(`${folder}/seen`).includes('hidden from the proxy'), false);

  await send('DisconnectCustomKeyStore', { CustomKeyStoreId });
  await refused(send('Decrypt', { CiphertextBlob, EncryptionContext }), 'KMSInvalidStateException');
  await assert.rejects(send('DeleteCustomKeyStore', { CustomKeyStoreId }), sdk.CustomKeyStoreHasCMKsException);
  await send('ScheduleKeyDeletion', { KeyId, PendingWindowInDays: 7 });
  await kms.advance((8 * dayMs) / 1000);
  await send('DeleteCustomKeyStore', { CustomKeyStoreId });
  await assert.rejects(state(), sdk.CustomKeyStoreNotFoundException);
});
