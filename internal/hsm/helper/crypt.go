package helper

import (
	"bytes"

	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

var errCiphertext = failure{hsmwire.StatusCiphertext, "the ciphertext is not one of this key, IV and additional data"}

// encrypt encrypts with AES-GCM and an IV that was never used with this key, as far as 96 random bits promise that. NIST SP
// 800-38D, section 8.3, allows 2^32 messages per key with such IVs; counting them is up to the caller.
func (t *Token) encrypt(s Session, id string, aad, plaintext []byte) (iv, ciphertext []byte, err error) {
	err = t.withKey(s, id, func(k cached, fresh bool) error {
		if !fresh {
			// A token may give the handle of a destroyed key to another. Decrypting with that fails, encrypting would not.
			if err := t.checkAttributes(s, k.object, id); err != nil {
				return err
			}
		}
		iv, ciphertext, err = t.seal(s, k.object, aad, plaintext)
		return err
	})
	return iv, ciphertext, err
}

// seal encrypts with an IV from the token's random generator. Where the token refuses that, because it makes IVs by itself,
// it is given zeros, which it overwrites (AWS CloudHSM demands just that); where it ignores the IV and puts its own in its
// place, that is taken.
func (t *Token) seal(s Session, o Object, aad, plaintext []byte) (iv, ciphertext []byte, err error) {
	if !t.makesIVs.Load() {
		if iv, err = t.m.Random(s, hsmwire.IVSize); err != nil {
			return nil, nil, err
		}
		iv, ciphertext, err = t.m.Encrypt(s, o, iv, aad, plaintext)
		if !isCKR(err, MechanismParamInvalid, ArgumentsBad) {
			return t.checkSealed(iv, ciphertext, len(plaintext), err)
		}
	}
	iv, ciphertext, err = t.m.Encrypt(s, o, make([]byte, hsmwire.IVSize), aad, plaintext)
	if iv, ciphertext, err = t.checkSealed(iv, ciphertext, len(plaintext), err); err == nil {
		t.makesIVs.Store(true)
	}
	return iv, ciphertext, err
}

// checkSealed lets nothing out that was encrypted with an IV that cannot be random: with two messages under one IV, GCM has
// neither secrecy nor authenticity.
func (t *Token) checkSealed(iv, ciphertext []byte, plaintextSize int, err error) ([]byte, []byte, error) {
	if err != nil {
		return nil, nil, err
	}
	if len(iv) != hsmwire.IVSize || len(ciphertext) != plaintextSize+hsmwire.TagSize {
		return nil, nil, failure{hsmwire.StatusFailed, "C_Encrypt: unexpected length of IV or ciphertext"}
	}
	if bytes.Equal(iv, make([]byte, hsmwire.IVSize)) {
		return nil, nil, failure{hsmwire.StatusFailed, "C_Encrypt: the IV is all zeros"}
	}
	t.mu.Lock()
	repeated := bytes.Equal(iv, t.lastIV[:])
	copy(t.lastIV[:], iv)
	t.mu.Unlock()
	if repeated {
		return nil, nil, failure{hsmwire.StatusFailed, "C_Encrypt: the IV of the message before"}
	}
	return iv, ciphertext, nil
}

func (t *Token) decrypt(s Session, id string, iv, aad, ciphertext []byte) (plaintext []byte, err error) {
	err = t.withKey(s, id, func(k cached, fresh bool) error {
		plaintext, err = t.m.Decrypt(s, k.object, iv, aad, ciphertext)
		if err == nil && len(plaintext) != len(ciphertext)-hsmwire.TagSize {
			return failure{hsmwire.StatusFailed, "C_Decrypt: unexpected length of plaintext"}
		}
		bad := isCKR(err, EncryptedDataInvalid, EncryptedDataLenRange, AEADDecryptFailed, SignatureInvalid)
		vague := isCKR(err, GeneralError, FunctionFailed, DataInvalid, ArgumentsBad)
		if !bad && !vague {
			return err
		}
		if !fresh {
			if err := t.checkAttributes(s, k.object, id); err != nil {
				return err
			}
		}
		if bad || t.works(s, id, k) {
			return errCiphertext
		}
		return err
	})
	return plaintext, err
}

// sample is a message under a key that is known to be good.
type sample struct{ iv, ciphertext []byte }

var (
	samplePlaintext = []byte("keyturn: sample")
	sampleAAD       = []byte("keyturn: sample, known to be good")
)

// works tells whether a key decrypts. Tokens, SoftHSM 2.6 among them, answer a wrong tag with CKR_GENERAL_ERROR, as they do
// when they are broken; if a good ciphertext opens, the one before was bad. A sample is
// kept as long as the handle.
func (t *Token) works(s Session, id string, k cached) bool {
	if k.sample == nil {
		iv, ciphertext, err := t.seal(s, k.object, sampleAAD, samplePlaintext)
		if err != nil {
			return false
		}
		k.sample = &sample{iv, ciphertext}
		t.keys.put(id, k)
	}
	plaintext, err := t.m.Decrypt(s, k.object, k.sample.iv, sampleAAD, k.sample.ciphertext)
	return err == nil && bytes.Equal(plaintext, samplePlaintext)
}
