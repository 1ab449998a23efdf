package crashtest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// The calls that use keys. What comes of one that was under way at a crash nobody has.

// make has a key encrypt, sign or authenticate something.
func (w *worker) make(ctx context.Context, k *key) error {
	switch k.kind.usage {
	case types.KeyUsageTypeSignVerify:
		return w.sign(ctx, k)
	case types.KeyUsageTypeGenerateVerifyMac:
		return w.generateMac(ctx, k)
	}
	return w.encrypt(ctx, k)
}

func (w *worker) encrypt(ctx context.Context, k *key) error {
	mark := w.mark("context")
	o := &output{input: make([]byte, 1+w.rand.IntN(64)), context: map[string]string{"call": mark}}
	rand.Read(o.input)
	c := &call{name: "Encrypt", key: k, mark: mark, allowed: k.mayLackMaterial(), use: tally{encryptions: 1, bytes: int64(len(o.input))}}
	var out *kms.EncryptOutput
	c.apply = func(r *auditRecord) {
		if r == nil {
			o.blob, o.from, o.to = out.CiphertextBlob, c.from, c.to
			k.addOutput(o, w.rand)
		}
	}
	return w.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = w.client.of(k).Encrypt(ctx, &kms.EncryptInput{KeyId: &k.id, Plaintext: o.input, EncryptionContext: o.context})
		return err
	})
}

func (w *worker) generateDataKey(ctx context.Context, k *key) error {
	mark := w.mark("context")
	c := &call{name: "GenerateDataKey", key: k, mark: mark, allowed: k.mayLackMaterial(), use: tally{encryptions: 1, bytes: 32}}
	var out *kms.GenerateDataKeyOutput
	c.apply = func(r *auditRecord) {
		if r == nil {
			k.addOutput(&output{
				blob: out.CiphertextBlob, input: out.Plaintext, context: map[string]string{"call": mark},
				material: aws.ToString(out.KeyMaterialId), from: c.from, to: c.to,
			}, w.rand)
		}
	}
	return w.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = w.client.of(k).GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
			KeyId: &k.id, KeySpec: types.DataKeySpecAes256, EncryptionContext: map[string]string{"call": mark},
		})
		return err
	})
}

func (w *worker) sign(ctx context.Context, k *key) error {
	o := &output{input: []byte(w.mark("message"))}
	c := &call{name: "Sign", key: k, allowed: k.mayLackMaterial(), use: tally{encryptions: 1, bytes: int64(len(o.input))}}
	var out *kms.SignOutput
	c.apply = func(r *auditRecord) {
		if r == nil {
			o.blob, o.from, o.to = out.Signature, c.from, c.to
			k.addOutput(o, w.rand)
		}
	}
	return w.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = w.client.of(k).Sign(ctx, &kms.SignInput{KeyId: &k.id, Message: o.input, SigningAlgorithm: types.SigningAlgorithmSpec(k.kind.algorithm)})
		return err
	})
}

func (w *worker) generateMac(ctx context.Context, k *key) error {
	o := &output{input: []byte(w.mark("message"))}
	c := &call{name: "GenerateMac", key: k, allowed: k.mayLackMaterial(), use: tally{encryptions: 1, bytes: int64(len(o.input))}}
	var out *kms.GenerateMacOutput
	c.apply = func(r *auditRecord) {
		if r != nil {
			return
		}
		o.blob, o.from, o.to = out.Mac, c.from, c.to
		k.addOutput(o, w.rand)
		if k.imported {
			h := hmac.New(sha256.New, k.now.imports[0].secret)
			h.Write(o.input)
			if !bytes.Equal(o.blob, h.Sum(nil)) {
				w.fault("key %s: a MAC is not that of the material which was imported", k.arn)
			}
		}
	}
	return w.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = w.client.of(k).GenerateMac(ctx, &kms.GenerateMacInput{KeyId: &k.id, Message: o.input, MacAlgorithm: types.MacAlgorithmSpec(k.kind.algorithm)})
		return err
	})
}

// check opens or verifies one of the things that the key made.
func (w *worker) check(ctx context.Context, k *key) error {
	w.mu.Lock()
	if len(k.outputs) == 0 {
		w.mu.Unlock()
		return nil
	}
	o := k.outputs[w.rand.IntN(len(k.outputs))]
	w.mu.Unlock()
	return w.open(ctx, w.client, k, o)
}

// mayLackMaterial are the codes of refusals of a key whose imported material may expire at any time.
func (k *key) mayLackMaterial() []string {
	if k.imported {
		return []string{"KMSInvalidStateException"}
	}
	return nil
}

// mayBeGone are the codes of refusals of a key that may be deleted meanwhile.
func (k *key) mayBeGone() []string {
	if k.gone || deleting(k.state) {
		return []string{"NotFoundException"}
	}
	return nil
}

// opener is the operation that undoes, or verifies, what keys of this kind make.
func (k kind) opener() string {
	switch k.usage {
	case types.KeyUsageTypeSignVerify:
		return "Verify"
	case types.KeyUsageTypeGenerateVerifyMac:
		return "VerifyMac"
	}
	return "Decrypt"
}

// refusal sets how a key refuses to open or verify in its state. The world is locked.
func (w *world) refusal(k *key, d *call) {
	switch k.state {
	case enabled:
	case disabled:
		d.allowed = []string{"DisabledException: " + k.arn + " is disabled."}
	case pendingImport:
		d.allowed = []string{"KMSInvalidStateException: " + k.arn + " is pending import."}
	default: // the date may have come
		d.allowed = []string{"KMSInvalidStateException", "NotFoundException", "AccessDeniedException"}
	}
	// In a storm the clock may be turned at any time.
	if k.imported && !deleting(k.state) && (w.onAck != nil || k.expiring(w.serviceTime().Add(startLimit))) {
		d.allowed = append(d.allowed, "KMSInvalidStateException")
	}
}

// open decrypts or verifies what a key of the family made, with this key. It must work just when the key is enabled.
func (w *world) open(ctx context.Context, c *client, k *key, o *output) error {
	d := &call{name: k.kind.opener(), key: k, mark: o.context["call"], use: tally{decryptions: 1}}
	w.mu.Lock()
	state := k.state
	w.refusal(k, d)
	w.mu.Unlock()
	var opened []byte
	var material string
	err := w.do(ctx, d, func(ctx context.Context) (err error) {
		opened, material, err = c.open(ctx, k, o)
		return err
	})
	if err != nil {
		return err
	}
	if state != enabled {
		w.keyFault(k, "it decrypts or verifies, being %s", state)
	}
	if !bytes.Equal(opened, o.input) {
		w.keyFault(k, "what it or a related key made does not open or verify to what it was made of")
	}
	w.mu.Lock()
	named := o.material
	o.material = material
	w.mu.Unlock()
	if named != "" && named != material {
		w.keyFault(k, "a ciphertext under %s is opened by %s", named, material)
	}
	return nil
}

// open returns what comes out, and which material did it. For a signature or MAC that is valid, it is the message.
func (c *client) open(ctx context.Context, k *key, o *output) (opened []byte, material string, err error) {
	switch k.kind.usage {
	case types.KeyUsageTypeSignVerify:
		out, err := c.of(k).Verify(ctx, &kms.VerifyInput{
			KeyId: &k.id, Message: o.input, Signature: o.blob, SigningAlgorithm: types.SigningAlgorithmSpec(k.kind.algorithm),
		})
		if err == nil && out.SignatureValid {
			opened = o.input
		}
		return opened, "", err
	case types.KeyUsageTypeGenerateVerifyMac:
		out, err := c.of(k).VerifyMac(ctx, &kms.VerifyMacInput{
			KeyId: &k.id, Message: o.input, Mac: o.blob, MacAlgorithm: types.MacAlgorithmSpec(k.kind.algorithm),
		})
		if err == nil && out.MacValid {
			opened = o.input
		}
		return opened, "", err
	}
	out, err := c.of(k).Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: o.blob, EncryptionContext: o.context})
	if err != nil {
		return nil, "", err
	}
	return out.Plaintext, aws.ToString(out.KeyMaterialId), nil
}
