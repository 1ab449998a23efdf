package nitro

import "github.com/fxamacker/cbor/v2"

// Limits of the decoder, as low as it takes them. The rules of parsePayload are narrower where they can be.
const (
	maxNesting = 4
	maxArray   = 16
	maxPairs   = maxPCRs
)

// messageMode decodes the outer message, payloadMode the payload. They differ in one point only: see the package comment.
var (
	messageMode = decodeMode(cbor.IndefLengthForbidden)
	payloadMode = decodeMode(cbor.IndefLengthAllowed)
)

// decodeMode returns a decoder that refuses what CBOR (RFC 8949) allows and no document has: repeated keys, unknown fields, tags,
// invalid UTF-8, anything behind the item, and every simple value but null, which it would otherwise take for integers and
// booleans.
func decodeMode(indefinite cbor.IndefLengthMode) cbor.DecMode {
	simple, err := cbor.NewSimpleValueRegistryFromDefaults(rejectSimpleValues)
	if err != nil {
		panic(err) // a constant's fault
	}
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       indefinite,
		MaxNestedLevels:   maxNesting,
		MaxArrayElements:  maxArray,
		MaxMapPairs:       maxPairs,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		SimpleValues:      simple,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}

// rejectSimpleValues rejects all simple values but null. 24 to 31 do not exist.
func rejectSimpleValues(r *cbor.SimpleValueRegistry) error {
	const null = 22
	for v := range 256 {
		if v == null || v >= 24 && v <= 31 {
			continue
		}
		if err := cbor.WithRejectedSimpleValue(cbor.SimpleValue(v))(r); err != nil {
			return err
		}
	}
	return nil
}
