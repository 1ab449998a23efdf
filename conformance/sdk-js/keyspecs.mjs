// Every key spec with every usage and algorithm, checked by implementations that have nothing to do with the server's.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-kms';
import * as independent from './independent.mjs';
import { bytes, refused, specs, trusting } from './support.mjs';

const kms = trusting();
const message = bytes('a message to be signed');
const flipped = (data) => Uint8Array.from(data, (b, n) => (n === data.length - 1 ? b ^ 1 : b));

// The member of metadata that lists the algorithms of a usage.
const algorithmsOf = {
  ENCRYPT_DECRYPT: 'EncryptionAlgorithms',
  SIGN_VERIFY: 'SigningAlgorithms',
  GENERATE_VERIFY_MAC: 'MacAlgorithms',
  KEY_AGREEMENT: 'KeyAgreementAlgorithms',
  ENCAPSULATE_DECAPSULATE: 'EncapsulationAlgorithms',
};

const made = {};

// keyOf returns the metadata of the one key of a spec and usage: RSA keys take long to make.
function keyOf(spec, usage) {
  made[`${spec} ${usage}`] ??= kms.newKey({ KeySpec: spec, KeyUsage: usage });
  return made[`${spec} ${usage}`];
}

async function publicOf(spec, usage) {
  const { KeyId } = await keyOf(spec, usage);
  return (await kms.send(new sdk.GetPublicKeyCommand({ KeyId }))).PublicKey;
}

// The ways to give the message to be signed to an algorithm.
function messagesOf(algorithm) {
  if (algorithm === 'ED25519_PH_SHA_512') return { DIGEST: independent.digestOf(algorithm, message) };
  if (/^(RSASSA|ECDSA)/.test(algorithm)) return { RAW: message, DIGEST: independent.digestOf(algorithm, message) };
  return { RAW: message };
}

const usages = {
  async SIGN_VERIFY(spec, algorithm) {
    const { Arn: KeyId } = await keyOf(spec, 'SIGN_VERIFY');
    const der = await publicOf(spec, 'SIGN_VERIFY');
    const call = { KeyId, SigningAlgorithm: algorithm };
    for (const [MessageType, Message] of Object.entries(messagesOf(algorithm))) {
      const { Signature, KeyId: by } = await kms.send(new sdk.SignCommand({ ...call, Message, MessageType }));
      assert.equal(by, KeyId);
      if (independent.checks(spec)) {
        assert.equal(independent.verifies(spec, algorithm, der, message, Signature), true);
        assert.equal(independent.verifies(spec, algorithm, der, bytes('another'), Signature), false);
      }
      const verified = await kms.send(new sdk.VerifyCommand({ ...call, Message, MessageType, Signature }));
      assert.equal(verified.SignatureValid, true);
      for (const wrong of [{ Signature: flipped(Signature) }, { Message: flipped(Message) }, { Signature: bytes('x') }]) {
        const verify = kms.send(new sdk.VerifyCommand({ ...call, Message, MessageType, Signature, ...wrong }));
        await refused(verify, 'KMSInvalidSignatureException', '');
        await assert.rejects(verify, sdk.KMSInvalidSignatureException);
      }
    }
  },

  async ENCRYPT_DECRYPT(spec, algorithm) {
    const { Arn: KeyId } = await keyOf(spec, 'ENCRYPT_DECRYPT');
    const call = { KeyId, EncryptionAlgorithm: algorithm };
    const Plaintext = randomBytes(specs[spec].longest?.[algorithm] ?? 4096);
    const { CiphertextBlob } = await kms.send(new sdk.EncryptCommand({ ...call, Plaintext }));
    const blobs = [CiphertextBlob];
    if (algorithm.startsWith('RSAES')) {
      blobs.push(independent.encrypt(algorithm, await publicOf(spec, 'ENCRYPT_DECRYPT'), Plaintext));
    }
    for (const blob of blobs) {
      const opened = await kms.send(new sdk.DecryptCommand({ ...call, CiphertextBlob: blob }));
      assert.deepEqual(Buffer.from(opened.Plaintext), Plaintext);
      const altered = kms.send(new sdk.DecryptCommand({ ...call, CiphertextBlob: flipped(blob) }));
      await refused(altered, 'InvalidCiphertextException', '');
    }
    const longer = Buffer.concat([Plaintext, Plaintext.subarray(0, 1)]);
    await refused(kms.send(new sdk.EncryptCommand({ ...call, Plaintext: longer })), 'ValidationException');
  },

  async KEY_AGREEMENT(spec, algorithm) {
    const { Arn: KeyId } = await keyOf(spec, 'KEY_AGREEMENT');
    const derive = (PublicKey) => kms.send(new sdk.DeriveSharedSecretCommand({ KeyId, KeyAgreementAlgorithm: algorithm, PublicKey }));
    if (independent.checks(spec)) {
      const [mine, secret] = independent.agree(spec, await publicOf(spec, 'KEY_AGREEMENT'));
      assert.deepEqual(Buffer.from((await derive(mine)).SharedSecret), secret);
    } else {
      // Two keys of the server's own at least agree with each other.
      const other = await kms.newKey({ KeySpec: spec, KeyUsage: 'KEY_AGREEMENT' });
      const { PublicKey } = await kms.send(new sdk.GetPublicKeyCommand({ KeyId: other.KeyId }));
      const there = new sdk.DeriveSharedSecretCommand({
        KeyId: other.KeyId,
        KeyAgreementAlgorithm: algorithm,
        PublicKey: await publicOf(spec, 'KEY_AGREEMENT'),
      });
      assert.deepEqual((await derive(PublicKey)).SharedSecret, (await kms.send(there)).SharedSecret);
    }
    await refused(derive(bytes('no key')), 'ValidationException');
  },

  async ENCAPSULATE_DECAPSULATE(spec, algorithm) {
    const { Arn: KeyId } = await keyOf(spec, 'ENCAPSULATE_DECAPSULATE');
    const call = { KeyId, EncapsulationAlgorithm: algorithm };
    const decapsulate = (blob) => kms.send(new sdk.DecapsulateCommand({ ...call, SharedSecretCiphertextBlob: blob }));
    const { SharedSecret, SharedSecretCiphertextBlob } = await kms.send(new sdk.EncapsulateCommand(call));
    const theirs = independent.encapsulate(spec, await publicOf(spec, 'ENCAPSULATE_DECAPSULATE'));
    for (const [secret, blob] of [[SharedSecret, SharedSecretCiphertextBlob], theirs]) {
      assert.deepEqual(Buffer.from((await decapsulate(blob)).SharedSecret), Buffer.from(secret));
      assert.notDeepEqual(Buffer.from((await decapsulate(flipped(blob))).SharedSecret), Buffer.from(secret));
      await refused(decapsulate(blob.slice(1)), 'InvalidCiphertextException', '');
    }
  },

  // Whether the MAC is the right one is checked where the key is known, in imports.mjs.
  async GENERATE_VERIFY_MAC(spec, algorithm) {
    const { Arn: KeyId } = await keyOf(spec, 'GENERATE_VERIFY_MAC');
    const call = { KeyId, MacAlgorithm: algorithm, Message: message };
    const { Mac } = await kms.send(new sdk.GenerateMacCommand(call));
    assert.equal(Mac.length * 8, Number(algorithm.slice(-3)));
    assert.equal((await kms.send(new sdk.VerifyMacCommand({ ...call, Mac }))).MacValid, true);
    const verify = kms.send(new sdk.VerifyMacCommand({ ...call, Mac: flipped(Mac) }));
    await refused(verify, 'KMSInvalidMacException', '');
    await assert.rejects(verify, sdk.KMSInvalidMacException);
  },
};

for (const [spec, { usages: ofSpec, pair }] of Object.entries(specs)) {
  if (!sdk.KeySpec[spec]) continue; // coverage.py says which
  for (const [usage, algorithms] of Object.entries(ofSpec)) {
    test(`${spec} for ${usage}`, async () => {
      const meta = await keyOf(spec, usage);
      assert.deepEqual([meta.KeySpec, meta.KeyUsage, meta.KeyState], [spec, usage, 'Enabled']);
      for (const [other, member] of Object.entries(algorithmsOf)) {
        assert.deepEqual(new Set(meta[member]), new Set(other === usage ? algorithms : []));
      }
      if (spec === 'SYMMETRIC_DEFAULT' || usage === 'GENERATE_VERIFY_MAC') {
        await refused(publicOf(spec, usage), 'UnsupportedOperationException');
      } else {
        assert.ok(independent.isOf(spec, await publicOf(spec, usage)));
      }
    });
    for (const algorithm of algorithms) test(`${spec}, ${algorithm}`, () => usages[usage](spec, algorithm));
  }
  if (pair) {
    test(`data key pair of ${spec}`, async () => {
      const { KeyId } = await keyOf('SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT');
      const call = { KeyId, KeyPairSpec: spec };
      const commands = [new sdk.GenerateDataKeyPairCommand(call)];
      // Once is enough of what takes a second or two.
      if (!/RSA_[34]/.test(spec)) commands.push(new sdk.GenerateDataKeyPairWithoutPlaintextCommand(call));
      for (const command of commands) {
        const made = await kms.send(command);
        const opened = await kms.send(new sdk.DecryptCommand({ CiphertextBlob: made.PrivateKeyCiphertextBlob }));
        const hidden = command instanceof sdk.GenerateDataKeyPairWithoutPlaintextCommand;
        assert.deepEqual(made.PrivateKeyPlaintext, hidden ? undefined : opened.Plaintext);
        assert.ok(independent.isOf(spec, made.PublicKey));
        if (independent.checks(spec)) {
          const want = independent.comparable(spec, made.PublicKey);
          assert.deepEqual(Buffer.from(independent.publicOf(spec, opened.Plaintext)), Buffer.from(want));
        }
      }
    });
  }
}
