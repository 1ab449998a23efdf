//go:build cgo && unix

package main

import (
	"errors"

	"github.com/miekg/pkcs11"

	"github.com/keyturn/keyturn/internal/hsm/helper"
	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

func (m *module) Find(s helper.Session, label, id string, limit int) (_ []helper.Object, err error) {
	session := pkcs11.SessionHandle(s)
	if err := m.ctx.FindObjectsInit(session, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
		pkcs11.NewAttribute(pkcs11.CKA_ID, id),
	}); err != nil {
		return nil, wrap("C_FindObjectsInit", err)
	}
	defer func() {
		if finalErr := m.ctx.FindObjectsFinal(session); err == nil {
			err = wrap("C_FindObjectsFinal", finalErr)
		}
	}()
	var objects []helper.Object
	for len(objects) < limit { // a token may return fewer at a time than there are
		handles, _, err := m.ctx.FindObjects(session, limit-len(objects))
		if err != nil {
			return nil, wrap("C_FindObjects", err)
		}
		if len(handles) == 0 {
			break
		}
		for _, h := range handles {
			objects = append(objects, helper.Object(h))
		}
	}
	return objects, nil
}

func (m *module) Attributes(s helper.Session, o helper.Object) (helper.Attributes, error) {
	values, err := m.ctx.GetAttributeValue(pkcs11.SessionHandle(s), pkcs11.ObjectHandle(o), []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_ID, nil),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, nil),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, nil),
	})
	if err != nil {
		return helper.Attributes{}, wrap("C_GetAttributeValue", err)
	}
	if len(values) != 3 || len(values[1].Value) != 1 || len(values[2].Value) != 1 {
		return helper.Attributes{}, errors.New("C_GetAttributeValue: unexpected length")
	}
	return helper.Attributes{ID: values[0].Value, Sensitive: values[1].Value[0] != 0, Extractable: values[2].Value[0] != 0}, nil
}

// GenerateKey names every use that a key could have: tokens differ in what they take for granted.
func (m *module) GenerateKey(s helper.Session, label, id string) (helper.Object, error) {
	o, err := m.ctx.GenerateKey(pkcs11.SessionHandle(s),
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)},
		[]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
			pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
			pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
			pkcs11.NewAttribute(pkcs11.CKA_ID, id),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
			pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
			pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
			pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
			pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, true),
			pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, true),
			pkcs11.NewAttribute(pkcs11.CKA_SIGN, false),
			pkcs11.NewAttribute(pkcs11.CKA_VERIFY, false),
			pkcs11.NewAttribute(pkcs11.CKA_WRAP, false),
			pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false),
			pkcs11.NewAttribute(pkcs11.CKA_DERIVE, false),
		})
	return helper.Object(o), wrap("C_GenerateKey", err)
}

func (m *module) DestroyKey(s helper.Session, o helper.Object) error {
	return wrap("C_DestroyObject", m.ctx.DestroyObject(pkcs11.SessionHandle(s), pkcs11.ObjectHandle(o)))
}

func (m *module) Encrypt(s helper.Session, key helper.Object, iv, aad, plaintext []byte) ([]byte, []byte, error) {
	params := pkcs11.NewGCMParams(iv, aad, 8*hsmwire.TagSize)
	defer params.Free()
	mechanism := []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}
	if err := m.ctx.EncryptInit(pkcs11.SessionHandle(s), mechanism, pkcs11.ObjectHandle(key)); err != nil {
		return nil, nil, wrap("C_EncryptInit", err)
	}
	ciphertext, err := m.ctx.Encrypt(pkcs11.SessionHandle(s), plaintext)
	if err != nil {
		return nil, nil, wrap("C_Encrypt", err)
	}
	return params.IV(), ciphertext, nil
}

func (m *module) Decrypt(s helper.Session, key helper.Object, iv, aad, ciphertext []byte) ([]byte, error) {
	params := pkcs11.NewGCMParams(iv, aad, 8*hsmwire.TagSize)
	defer params.Free()
	mechanism := []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}
	if err := m.ctx.DecryptInit(pkcs11.SessionHandle(s), mechanism, pkcs11.ObjectHandle(key)); err != nil {
		return nil, wrap("C_DecryptInit", err)
	}
	plaintext, err := m.ctx.Decrypt(pkcs11.SessionHandle(s), ciphertext)
	return plaintext, wrap("C_Decrypt", err)
}

func (m *module) Random(s helper.Session, n int) ([]byte, error) {
	b, err := m.ctx.GenerateRandom(pkcs11.SessionHandle(s), n)
	return b, wrap("C_GenerateRandom", err)
}
