// Replies to enclaves: Recipient with an attestation document, and a ciphertext that the openssl program opens.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-kms';
import * as independent from './independent.mjs';
import { bytes, refused, text, trusting } from './support.mjs';

const { KEYTURN_ENCLAVE: folder, KEYTURN_PYTHON: python, KEYTURN_CONFORMANCE: conformance } = process.env;
const document = execFileSync(python, [`${conformance}/enclave.py`, 'document', folder]);
const Recipient = { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument: document };

// opened is what the enclave reads; the reply must not have it in the open.
function opened(reply, hidden) {
  assert.equal(reply[hidden], undefined);
  const args = ['cms', '-decrypt', '-inform', 'DER', '-inkey', `${folder}/enclave.pem`];
  return execFileSync('openssl', args, { input: reply.CiphertextForRecipient });
}

test('Decrypt for an enclave', async () => {
  const kms = trusting();
  const { KeyId } = await kms.newKey();
  const { CiphertextBlob } = await kms.send(new sdk.EncryptCommand({ KeyId, Plaintext: bytes('for the enclave') }));
  const reply = await kms.send(new sdk.DecryptCommand({ CiphertextBlob, Recipient }));
  assert.equal(text(opened(reply, 'Plaintext')), 'for the enclave');
});

test('data keys and random bytes for an enclave', async () => {
  const kms = trusting();
  const { KeyId } = await kms.newKey();
  const dataKey = await kms.send(new sdk.GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256', Recipient }));
  const again = await kms.send(new sdk.DecryptCommand({ CiphertextBlob: dataKey.CiphertextBlob }));
  assert.deepEqual(opened(dataKey, 'Plaintext'), Buffer.from(again.Plaintext));
  const pair = await kms.send(new sdk.GenerateDataKeyPairCommand({ KeyId, KeyPairSpec: 'ECC_NIST_P256', Recipient }));
  assert.deepEqual(independent.publicOf('ECC_NIST_P256', opened(pair, 'PrivateKeyPlaintext')), Buffer.from(pair.PublicKey));
  const random = await kms.send(new sdk.GenerateRandomCommand({ NumberOfBytes: 24, Recipient }));
  assert.equal(opened(random, 'Plaintext').length, 24);
});

test('DeriveSharedSecret for an enclave', async () => {
  const kms = trusting();
  const { KeyId } = await kms.newKey({ KeySpec: 'ECC_NIST_P384', KeyUsage: 'KEY_AGREEMENT' });
  const { PublicKey: der } = await kms.send(new sdk.GetPublicKeyCommand({ KeyId }));
  assert.equal(createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' }).asymmetricKeyType, 'ec');
  const [PublicKey, secret] = independent.agree('ECC_NIST_P384', der);
  const reply = await kms.send(new sdk.DeriveSharedSecretCommand({ KeyId, KeyAgreementAlgorithm: 'ECDH', PublicKey, Recipient }));
  assert.deepEqual(opened(reply, 'SharedSecret'), secret);
});

test('a document that was altered', async () => {
  const altered = Uint8Array.from(document, (b, n) => (n === document.length - 1 ? b ^ 1 : b));
  const call = { NumberOfBytes: 8, Recipient: { ...Recipient, AttestationDocument: altered } };
  await refused(trusting().send(new sdk.GenerateRandomCommand(call)), 'ValidationException');
});
