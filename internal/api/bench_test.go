package api

import (
	"encoding/json"
	"testing"
)

const encryptBody = `{"KeyId":"arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",` +
	`"Plaintext":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=","EncryptionContext":{"app":"billing","tenant":"42"}}`

func sampleEncryptResponse() *EncryptResponse {
	return &EncryptResponse{CiphertextBlob: make([]byte, 160),
		KeyId:               Some("arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
		EncryptionAlgorithm: Some(EncryptionAlgorithmSpecSymmetricDefault)}
}

func BenchmarkDecodeEncrypt(b *testing.B) {
	data := []byte(encryptBody)
	b.ReportAllocs()
	for b.Loop() {
		if err := new(EncryptRequest).DecodeJSON(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeEncryptStdlib is the yardstick for BenchmarkDecodeEncrypt: encoding/json into a plain struct.
func BenchmarkDecodeEncryptStdlib(b *testing.B) {
	data := []byte(encryptBody)
	b.ReportAllocs()
	for b.Loop() {
		var v struct {
			KeyId             *string
			Plaintext         []byte
			EncryptionContext map[string]string
		}
		if err := json.Unmarshal(data, &v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidateEncrypt(b *testing.B) {
	var in EncryptRequest
	if err := in.DecodeJSON([]byte(encryptBody)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := in.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeEncrypt(b *testing.B) {
	out, dst := sampleEncryptResponse(), make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		dst = out.AppendJSON(dst[:0])
	}
}
