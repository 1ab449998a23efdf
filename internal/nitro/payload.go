package nitro

import (
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Rules of the payload, from section 3.2.2 of "Nitro Enclaves Attestation Process" where it has one.
const (
	maxModuleID    = 256 // real ones have 39
	maxPCRs        = 32
	maxCertificate = 1024
	maxBundle      = 8 // real ones have 4; AWS says only that it is not empty
	maxField       = 1024
	digestName     = "SHA384"

	// maxTimestamp is the end of the year 9999, in milliseconds.
	maxTimestamp = 253402300799999
)

// payload is the content of a document, checked for form and for nothing else. A field that is not there is nil.
type payload struct {
	moduleID    string
	timestamp   time.Time
	pcrs        map[int][]byte
	certificate []byte
	bundle      [][]byte // from the root to the issuer of certificate
	publicKey   []byte
	userData    []byte
	nonce       []byte
}

// parsePayload decodes and checks a payload.
//
// Byte strings are decoded as cbor.ByteString, since []byte would take arrays of integers too. A null leaves the zero value,
// which the rules refuse wherever a field is mandatory.
func parsePayload(encoded []byte) (*payload, error) {
	var raw struct {
		ModuleID    string                     `cbor:"module_id"`
		Digest      string                     `cbor:"digest"`
		Timestamp   uint64                     `cbor:"timestamp"`
		PCRs        map[uint64]cbor.ByteString `cbor:"pcrs"`
		Certificate cbor.ByteString            `cbor:"certificate"`
		CABundle    []cbor.ByteString          `cbor:"cabundle"`
		PublicKey   *cbor.ByteString           `cbor:"public_key"`
		UserData    *cbor.ByteString           `cbor:"user_data"`
		Nonce       *cbor.ByteString           `cbor:"nonce"`
	}
	if err := payloadMode.Unmarshal(encoded, &raw); err != nil {
		return nil, malformed("its payload is not the map of a Nitro enclave's attestation document")
	}
	if n := len(raw.ModuleID); n < 1 || n > maxModuleID {
		return nil, malformed("module_id has %d bytes, not 1 to %d", n, maxModuleID)
	}
	if raw.Digest != digestName {
		return nil, malformed("digest is not %s", digestName)
	}
	if raw.Timestamp < 1 || raw.Timestamp > maxTimestamp {
		return nil, malformed("timestamp is not between 1 and %d", maxTimestamp)
	}
	p := &payload{moduleID: raw.ModuleID, timestamp: time.UnixMilli(int64(raw.Timestamp)).UTC()}
	var err error
	if p.pcrs, err = parsePCRs(raw.PCRs); err != nil {
		return nil, err
	}
	if p.certificate, err = sized("certificate", &raw.Certificate, 1, maxCertificate); err != nil {
		return nil, err
	}
	if n := len(raw.CABundle); n < 1 || n > maxBundle {
		return nil, malformed("cabundle has %d certificates, not 1 to %d", n, maxBundle)
	}
	for i := range raw.CABundle {
		cert, err := sized("a certificate of cabundle", &raw.CABundle[i], 1, maxCertificate)
		if err != nil {
			return nil, err
		}
		p.bundle = append(p.bundle, cert)
	}
	if p.publicKey, err = sized("public_key", raw.PublicKey, 1, maxField); err != nil {
		return nil, err
	}
	if p.userData, err = sized("user_data", raw.UserData, 0, maxField); err != nil {
		return nil, err
	}
	if p.nonce, err = sized("nonce", raw.Nonce, 0, maxField); err != nil {
		return nil, err
	}
	return p, nil
}

// parsePCRs checks the registers.
func parsePCRs(raw map[uint64]cbor.ByteString) (map[int][]byte, error) {
	if n := len(raw); n < 1 || n > maxPCRs {
		return nil, malformed("pcrs has %d registers, not 1 to %d", n, maxPCRs)
	}
	pcrs := make(map[int][]byte, len(raw))
	for index, value := range raw {
		if index >= maxPCRs {
			return nil, malformed("pcrs has a register above %d", maxPCRs-1)
		}
		switch n := len(value); n {
		case 32, 48, 64:
			pcrs[int(index)] = value.Bytes()
		default:
			return nil, malformed("PCR%d has %d bytes, not 32, 48 or 64", index, n)
		}
	}
	return pcrs, nil
}

// sized returns the bytes of s if they are as many as allowed, and nil if there is no s.
func sized(name string, s *cbor.ByteString, least, most int) ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	if n := len(*s); n < least || n > most {
		return nil, malformed("%s has %d bytes, not %d to %d", name, n, least, most)
	}
	return s.Bytes(), nil
}
