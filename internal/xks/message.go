package xks

import (
	"encoding/base64"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The documents as they are on the wire. A pointer, or a nil blob, tells an absent member from an empty one; null counts as absent.
// Members that the specification does not have are skipped on both sides, since it says that there will be more of them. Member
// names are compared exactly; one that occurs twice, and invalid UTF-8, is an error.
type (
	// requestBody is the request of all four operations, each with its part of the members.
	requestBody struct {
		RequestMetadata *RequestMetadata `json:"requestMetadata"`
		Plaintext       blob             `json:"plaintext,omitzero"`
		Ciphertext      blob             `json:"ciphertext,omitzero"`
		Metadata        blob             `json:"ciphertextMetadata,omitzero"`
		Algorithm       string           `json:"encryptionAlgorithm,omitzero"`
		AAD             blob             `json:"additionalAuthenticatedData,omitzero"`
		IV              blob             `json:"initializationVector,omitzero"`
		Tag             blob             `json:"authenticationTag,omitzero"`
		CDIVAlgorithm   *string          `json:"ciphertextDataIntegrityValueAlgorithm,omitzero"`
	}

	encryptReply struct {
		Ciphertext blob `json:"ciphertext"`
		Metadata   blob `json:"ciphertextMetadata,omitzero"`
		IV         blob `json:"initializationVector"`
		Tag        blob `json:"authenticationTag"`
		CDIV       blob `json:"ciphertextDataIntegrityValue,omitzero"`
	}

	decryptReply struct {
		Plaintext blob `json:"plaintext"`
	}

	keyMetadataReply struct {
		Spec   string    `json:"keySpec"`
		Usage  *[]string `json:"keyUsage"`
		Status string    `json:"keyStatus"`
	}

	healthReply struct {
		FleetSize    int          `json:"xksProxyFleetSize"`
		Vendor       string       `json:"xksProxyVendor"`
		Model        string       `json:"xksProxyModel"`
		KeyManager   string       `json:"ekmVendor"`
		FleetDetails []fleetEntry `json:"ekmFleetDetails"`
	}

	fleetEntry struct {
		ID           string `json:"id"`
		Model        string `json:"model"`
		HealthStatus string `json:"healthStatus"`
	}

	errorReply struct {
		Name    string `json:"errorName"`
		Message string `json:"errorMessage,omitzero"`
	}
)

// blob is bytes as standard base64 with padding (RFC 4648, section 4).
type blob []byte

// strictBase64 refuses bits after the last byte. Line breaks, which it skips, are refused before it is asked.
var strictBase64 = base64.StdEncoding.Strict()

// Errors of reading a document. They hold no part of it: it may be a plaintext.
var (
	errJSON   = errors.New("the body is not a JSON object of the specification")
	errBase64 = errors.New("a member is not standard base64")
)

// UnmarshalJSONFrom implements json.UnmarshalerFrom. An empty text gives an empty blob, which is not nil.
func (b *blob) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	raw, err := dec.ReadValue()
	if err != nil {
		return errJSON
	}
	switch raw.Kind() {
	case 'n':
		*b = nil
		return nil
	case '"':
	default:
		return errJSON
	}
	text, err := jsontext.AppendUnquote(nil, raw) // some encoders write a slash as \/
	if err != nil {
		return errJSON
	}
	for _, c := range text {
		if c == '\n' || c == '\r' {
			return errBase64
		}
	}
	out := make([]byte, strictBase64.DecodedLen(len(text)))
	n, err := strictBase64.Decode(out, text)
	clear(text)
	if err != nil {
		clear(out)
		return errBase64
	}
	*b = out[:n]
	return nil
}

// MarshalJSONTo implements json.MarshalerTo.
func (b blob) MarshalJSONTo(enc *jsontext.Encoder) error {
	text := make([]byte, 0, 2+strictBase64.EncodedLen(len(b)))
	text = append(strictBase64.AppendEncode(append(text, '"'), b), '"')
	defer clear(text)
	return enc.WriteValue(text)
}

// decode reads data, all of it, as one object into v. The error is errJSON or errBase64.
func decode(data []byte, v any) error {
	// An object only: null would leave v as it is.
	if k := jsontext.Value(data).Kind(); k != '{' {
		return errJSON
	}
	err := json.Unmarshal(data, v)
	switch {
	case errors.Is(err, errBase64):
		return errBase64
	case err != nil:
		return errJSON
	}
	return nil
}

// encode writes v, which has valid UTF-8 or is an error.
func encode(v any) ([]byte, error) { return json.Marshal(v) }
