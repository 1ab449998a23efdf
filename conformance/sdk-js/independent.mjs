// What the server does, done by others: node:crypto, and noble where that lacks an algorithm.
import * as crypto from 'node:crypto';
import { createHash } from 'node:crypto';
import { ed25519ph } from '@noble/curves/ed25519.js';
import { ml_dsa44, ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js';
import { ml_kem512, ml_kem768, ml_kem1024 } from '@noble/post-quantum/ml-kem.js';

const curves = { ECC_NIST_P256: 'prime256v1', ECC_NIST_P384: 'secp384r1', ECC_NIST_P521: 'secp521r1', ECC_SECG_P256K1: 'secp256k1' };
const lattices = {
  ML_DSA_44: ml_dsa44,
  ML_DSA_65: ml_dsa65,
  ML_DSA_87: ml_dsa87,
  ML_KEM_512: ml_kem512,
  ML_KEM_768: ml_kem768,
  ML_KEM_1024: ml_kem1024,
};

// checks tells whether there is anything here to check a spec with. OpenSSL's SM2 cannot be reached from node:crypto.
export const checks = (spec) => spec !== 'SM2';

export const hashOf = (algorithm) => /SHA_\d+$/.exec(algorithm)[0].replace('SHA_', 'sha');
export const digestOf = (algorithm, message) => createHash(hashOf(algorithm)).update(message).digest();

const publicKey = (der) => crypto.createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
const privateKey = (der) => crypto.createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });

// rawPublic is the key at the end of a SubjectPublicKeyInfo of ML-DSA or ML-KEM (RFC 9881, RFC 9935), whose length the spec gives.
const rawPublic = (spec, der) => Uint8Array.from(der.slice(-lattices[spec].lengths.publicKey));

// isOf tells whether a SubjectPublicKeyInfo is one of the spec.
export function isOf(spec, der) {
  if (spec === 'SM2') return Buffer.from(der).includes(Buffer.from('06082a811ccf5501822d', 'hex'));
  if (lattices[spec]) return der.length === lattices[spec].lengths.publicKey + 22;
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = publicKey(der);
  if (spec.startsWith('RSA')) return type === 'rsa' && `RSA_${details.modulusLength}` === spec;
  return curves[spec] ? type === 'ec' && details.namedCurve === curves[spec] : type === 'ed25519';
}

// verifies tells whether this is a signature of the message.
export function verifies(spec, algorithm, der, message, signature) {
  switch (algorithm) {
    case 'ED25519_SHA_512':
      return crypto.verify(null, message, publicKey(der), signature);
    case 'ED25519_PH_SHA_512':
      return ed25519ph.verify(Uint8Array.from(signature), Uint8Array.from(message), Uint8Array.from(der.slice(-32)));
    case 'ML_DSA_SHAKE_256':
      return lattices[spec].verify(Uint8Array.from(signature), Uint8Array.from(message), rawPublic(spec, der));
  }
  const key = { key: publicKey(der) };
  if (algorithm.includes('PSS')) {
    Object.assign(key, { padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: crypto.constants.RSA_PSS_SALTLEN_DIGEST });
  }
  return crypto.verify(hashOf(algorithm), message, key, signature);
}

// encrypt encrypts with RSAES-OAEP.
export function encrypt(algorithm, der, plaintext) {
  const padding = crypto.constants.RSA_PKCS1_OAEP_PADDING;
  return crypto.publicEncrypt({ key: publicKey(der), padding, oaepHash: hashOf(algorithm) }, plaintext);
}

// agree makes a key pair; returns its public key and the secret that it shares with der.
export function agree(spec, der) {
  const mine = crypto.generateKeyPairSync('ec', { namedCurve: curves[spec] });
  const secret = crypto.diffieHellman({ privateKey: mine.privateKey, publicKey: publicKey(der) });
  return [mine.publicKey.export({ format: 'der', type: 'spki' }), secret];
}

// encapsulate returns a secret and the ciphertext that it comes out of.
export function encapsulate(spec, der) {
  const { sharedSecret, cipherText } = lattices[spec].encapsulate(rawPublic(spec, der));
  return [sharedSecret, cipherText];
}

// publicOf returns the public key of a private key in PKCS #8: SubjectPublicKeyInfo, or the bare key of a lattice.
export function publicOf(spec, der) {
  if (lattices[spec]) return lattices[spec].keygen(Uint8Array.from(der.slice(-lattices[spec].lengths.seed))).publicKey;
  return crypto.createPublicKey(privateKey(der)).export({ format: 'der', type: 'spki' });
}

// comparable returns a SubjectPublicKeyInfo as publicOf has it.
export const comparable = (spec, der) => (lattices[spec] ? rawPublic(spec, der) : der);

// newPrivate makes a private key of a spec, RSA or elliptic curve, in PKCS #8.
export function newPrivate(spec) {
  const pair = spec.startsWith('RSA')
    ? crypto.generateKeyPairSync('rsa', { modulusLength: Number(spec.slice(4)) })
    : crypto.generateKeyPairSync('ec', { namedCurve: curves[spec] });
  return pair.privateKey.export({ format: 'der', type: 'pkcs8' });
}

export const mac = (algorithm, key, message) => crypto.createHmac(hashOf(algorithm), key).update(message).digest();

// wrap wraps key material as ImportKeyMaterial takes it.
export function wrap(algorithm, der, material) {
  if (!algorithm.startsWith('RSA_AES_KEY_WRAP')) return encrypt(algorithm, der, material);
  const aes = crypto.randomBytes(32);
  const cipher = crypto.createCipheriv('id-aes256-wrap-pad', aes, Buffer.from('a65959a6', 'hex')); // RFC 5649
  return Buffer.concat([encrypt(algorithm, der, aes), cipher.update(material), cipher.final()]);
}
