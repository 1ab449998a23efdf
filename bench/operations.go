package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/keyturn/keyturn/internal/keys"
)

// operation is one that can be measured.
type operation struct {
	name string
	call func(context.Context, *subject) error
	// library makes a key and returns the bare cryptography of the operation; nil: the yardstick goes without.
	library func() (func() error, error)
}

// capture calls the operation once and returns its request, signed now.
func (op operation) capture(ctx context.Context, s *subject) ([]byte, error) {
	if err := op.call(ctx, s); err != nil {
		return nil, err
	}
	return s.rec.request, nil
}

// hotPath are the operations that are measured unless others are asked for: 32 bytes, one entry of encryption context.
func hotPath() []operation {
	return []operation{
		{name: "Encrypt", call: func(ctx context.Context, s *subject) error {
			_, err := s.encrypt(ctx)
			return err
		}},
		{name: "Decrypt", call: func(ctx context.Context, s *subject) error {
			out, err := s.client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: s.blob, EncryptionContext: benchContext})
			if err == nil && len(out.Plaintext) != 32 {
				err = errors.New("decrypting gave another plaintext")
			}
			return err
		}},
		{name: "GenerateDataKey", call: func(ctx context.Context, s *subject) error {
			_, err := s.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
				KeyId: &s.keyID, KeySpec: types.DataKeySpecAes256, EncryptionContext: benchContext,
			})
			return err
		}},
	}
}

// further are operations that take longer in the library than in keyturn, but for the MAC.
func further() []operation {
	var list []operation
	for _, k := range []struct {
		name      string
		spec      types.KeySpec
		algorithm string
	}{
		{"RSA_2048_PSS", types.KeySpecRsa2048, "RSASSA_PSS_SHA_256"}, {"ECC_NIST_P256", types.KeySpecEccNistP256, "ECDSA_SHA_256"},
		{"ED25519", types.KeySpecEccNistEdwards25519, "ED25519_SHA_512"}, {"ML_DSA_65", types.KeySpecMlDsa65, "ML_DSA_SHAKE_256"},
	} {
		list = append(list, signing("Sign-"+k.name, k.spec, k.algorithm), verifying("Verify-"+k.name, k.spec, k.algorithm))
	}
	return append(list, generatingMac("GenerateMac-HMAC_256"), decryptingRSA("Decrypt-RSA_2048"))
}

// chooseOperations returns those named, the hot path for "".
func chooseOperations(names string) ([]operation, error) {
	switch names {
	case "":
		return hotPath(), nil
	case "all":
		return append(hotPath(), further()...), nil
	}
	byName := make(map[string]operation)
	for _, op := range append(hotPath(), further()...) {
		byName[op.name] = op
	}
	var chosen []operation
	for name := range strings.SplitSeq(names, ",") {
		op, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("-op %q is none of %s", name, operationNames())
		}
		chosen = append(chosen, op)
	}
	return chosen, nil
}

func operationNames() string {
	var names []string
	for _, op := range append(hotPath(), further()...) {
		names = append(names, op.name)
	}
	return strings.Join(names, ", ")
}

// benchMessage is what is signed, authenticated and encrypted with RSA.
var benchMessage = make([]byte, 32)

// otherKey is a key of an operation beyond the hot path, with what it made of the message.
type otherKey struct {
	id   string
	made []byte
}

// other returns the key of an operation, making it when first asked for; make, if not nil, has it make something.
func (s *subject) other(ctx context.Context, operation string, spec types.KeySpec, usage types.KeyUsageType, make func(keyID string) ([]byte, error)) (*otherKey, error) {
	if k := s.others[operation]; k != nil {
		return k, nil
	}
	out, err := s.client.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage})
	if err != nil {
		return nil, err
	}
	k := &otherKey{id: *out.KeyMetadata.KeyId}
	if make != nil {
		if k.made, err = make(k.id); err != nil {
			return nil, err
		}
	}
	s.others[operation] = k
	return k, nil
}

func (s *subject) sign(ctx context.Context, keyID, algorithm string) ([]byte, error) {
	out, err := s.client.Sign(ctx, &kms.SignInput{KeyId: &keyID, Message: benchMessage, SigningAlgorithm: types.SigningAlgorithmSpec(algorithm)})
	if err != nil {
		return nil, err
	}
	return out.Signature, nil
}

func signing(name string, spec types.KeySpec, algorithm string) operation {
	return operation{name, func(ctx context.Context, s *subject) error {
		k, err := s.other(ctx, name, spec, types.KeyUsageTypeSignVerify, nil)
		if err == nil {
			_, err = s.sign(ctx, k.id, algorithm)
		}
		return err
	}, func() (func() error, error) {
		signer, err := opened[keys.Signer](spec)
		return func() error {
			_, err := signer.Sign(algorithm, keys.Raw, benchMessage)
			return err
		}, err
	}}
}

func verifying(name string, spec types.KeySpec, algorithm string) operation {
	return operation{name, func(ctx context.Context, s *subject) error {
		k, err := s.other(ctx, name, spec, types.KeyUsageTypeSignVerify, func(id string) ([]byte, error) { return s.sign(ctx, id, algorithm) })
		if err != nil {
			return err
		}
		_, err = s.client.Verify(ctx, &kms.VerifyInput{
			KeyId: &k.id, Message: benchMessage, Signature: k.made, SigningAlgorithm: types.SigningAlgorithmSpec(algorithm),
		})
		return err
	}, func() (func() error, error) {
		signer, err := opened[keys.Signer](spec)
		if err != nil {
			return nil, err
		}
		signature, err := signer.Sign(algorithm, keys.Raw, benchMessage)
		return func() error { return signer.Verify(algorithm, keys.Raw, benchMessage, signature) }, err
	}}
}

func generatingMac(name string) operation {
	const algorithm = types.MacAlgorithmSpecHmacSha256
	return operation{name, func(ctx context.Context, s *subject) error {
		k, err := s.other(ctx, name, types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac, nil)
		if err == nil {
			_, err = s.client.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: &k.id, Message: benchMessage, MacAlgorithm: algorithm})
		}
		return err
	}, func() (func() error, error) {
		key, err := opened[keys.MACer](types.KeySpecHmac256)
		return func() error { key.MAC(string(algorithm), benchMessage); return nil }, err
	}}
}

func decryptingRSA(name string) operation {
	const algorithm = types.EncryptionAlgorithmSpecRsaesOaepSha256
	return operation{name, func(ctx context.Context, s *subject) error {
		k, err := s.other(ctx, name, types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt, func(id string) ([]byte, error) {
			out, err := s.client.Encrypt(ctx, &kms.EncryptInput{KeyId: &id, Plaintext: benchMessage, EncryptionAlgorithm: algorithm})
			if err != nil {
				return nil, err
			}
			return out.CiphertextBlob, nil
		})
		if err == nil {
			_, err = s.client.Decrypt(ctx, &kms.DecryptInput{KeyId: &k.id, CiphertextBlob: k.made, EncryptionAlgorithm: algorithm})
		}
		return err
	}, func() (func() error, error) {
		key, err := opened[keys.Decrypter](types.KeySpecRsa2048)
		if err != nil {
			return nil, err
		}
		ciphertext, err := key.Encrypt(string(algorithm), benchMessage)
		return func() error { _, err := key.Decrypt(string(algorithm), ciphertext); return err }, err
	}}
}

// opened draws a key of a spec, as the library has it.
func opened[T any](spec types.KeySpec) (T, error) {
	var none T
	s := keys.SpecByName(string(spec))
	material, err := s.NewMaterial()
	if err != nil {
		return none, err
	}
	key, err := s.Open(material)
	if err != nil {
		return none, err
	}
	t, ok := key.(T)
	if !ok {
		return none, fmt.Errorf("a key of %s cannot be used so", spec)
	}
	return t, nil
}
