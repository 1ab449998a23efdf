package kms

import (
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/cms"
	"github.com/keyturn/keyturn/internal/nitro"
	"github.com/keyturn/keyturn/internal/service"
)

// recipient is an enclave that a reply's plaintext is encrypted to.
type recipient struct{ key *rsa.PublicKey }

// recipient checks the attestation document of a request; nil if it has none. Its freshness is a matter of real time.
func (k *KMS) recipient(tx *service.Tx, r *api.RecipientInfo) (*recipient, error) {
	if r == nil {
		return nil, nil
	}
	if k.config.Attestation == nil {
		return nil, api.Errorf(api.UnsupportedOperationException, "Recipient is not available on this server.")
	}
	if !r.KeyEncryptionAlgorithm.Set || len(r.AttestationDocument) == 0 {
		return nil, api.Errorf(api.ValidationException, "Recipient needs KeyEncryptionAlgorithm and AttestationDocument.")
	}
	doc, err := k.attested(tx, r)
	if errors.Is(err, nitro.ErrDocument) {
		return nil, api.Errorf(api.ValidationException, "The request was rejected: %v", err)
	}
	if err != nil {
		return nil, err
	}
	auditAttestation(tx.Additional(), doc)
	return &recipient{key: doc.PublicKey}, nil
}

// attested verifies the attestation document of a request: once, however many conditions ask for what it says. What came of it is kept,
// the error too, so that a bad document does not cost more than a good one.
func (k *KMS) attested(tx *service.Tx, r *api.RecipientInfo) (*nitro.Document, error) {
	type result struct {
		doc *nitro.Document
		err error
	}
	v, err := service.Once(tx, "attestation", func() (result, error) {
		doc, err := k.config.Attestation.Verify(r.AttestationDocument, k.config.RealTime())
		return result{doc, err}, nil
	})
	return v.doc, errors.Join(err, v.err)
}

// recipientConditions are what a verified attestation document says of an enclave ("Condition keys for Nitro Enclaves", AWS KMS Developer
// Guide); one that does not verify says nothing, and the plan refuses it. kms:RecipientAttestation:NitroTPMPCR keys are absent because
// the documents of NitroTPM are refused.
func recipientConditions[Q any](k *KMS, of func(*Q) *api.RecipientInfo) conditions[Q] {
	var list conditions[Q]
	for _, name := range []string{"kms:RecipientAttestation:ImageSha384", "kms:RecipientAttestation:PCR*"} {
		prefix, register := strings.CutSuffix(name, "*")
		list = append(list, condition[Q]{Name: name, Values: func(tx *service.Tx, q *Q, _ *service.Target, rest string) []string {
			r := of(q)
			if r == nil || k.config.Attestation == nil {
				return nil
			}
			doc, err := k.attested(tx, r)
			if err != nil {
				return nil
			}
			if register {
				return single(doc.ConditionValues()[prefix+rest])
			}
			return single(doc.ConditionValues()[name])
		}})
	}
	return list
}

// envelop encrypts a plaintext to the recipient, and clears it.
func (r *recipient) envelop(plaintext []byte) ([]byte, error) {
	defer clear(plaintext)
	return cms.Envelop(plaintext, r.key)
}

// auditAttestation records which enclave it was, as CloudTrail does.
func auditAttestation(p *audit.Params, doc *nitro.Document) {
	var m audit.Params
	m.Str("attestationDocumentModuleId", doc.ModuleID)
	for _, pcr := range []struct {
		index int
		name  string
	}{
		{0, "attestationDocumentEnclaveImageDigest"}, {1, "attestationDocumentEnclavePCR1"}, {2, "attestationDocumentEnclavePCR2"},
		{3, "attestationDocumentEnclavePCR3"}, {4, "attestationDocumentEnclavePCR4"}, {8, "attestationDocumentEnclavePCR8"},
	} {
		if v, ok := doc.PCRs[pcr.index]; ok {
			m.Str(pcr.name, base64.StdEncoding.EncodeToString(v))
		}
	}
	p.Obj("recipient", &m)
}

// auditRecipient records that a reply was encrypted to an enclave. The document itself is long, and says nothing before it is verified.
func auditRecipient(p *audit.Params, r *api.RecipientInfo) {
	if r != nil {
		var m audit.Params
		str(&m, "keyEncryptionAlgorithm", r.KeyEncryptionAlgorithm)
		p.Obj("recipient", &m)
	}
}
