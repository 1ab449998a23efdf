package kms

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Condition keys are as "AWS KMS condition keys" of the AWS KMS Developer Guide has them: which operations have which, and what a
// parameter is worth that a request leaves out. Most then have the parameter's default; kms:BypassPolicyLockoutSafetyCheck and
// kms:ExpirationModel are absent, as the page's examples with the Null operator need it. Keys of the caller and of the connection
// (kms:CallerAccount, kms:ViaService, most of aws:) are not the operations' to know.

type (
	condition[Q any]  = service.Condition[Q]
	conditions[Q any] = service.Conditions[Q]
)

// text is a condition key with one value, that of a member; "" makes it absent.
func text[Q any, T ~string](name string, of func(*Q) T) condition[Q] {
	return condition[Q]{Name: name, Values: func(_ *service.Tx, q *Q, _ *service.Target, _ string) []string { return single(string(of(q))) }}
}

// number is a condition key with one value that every request of the operation has.
func number[Q any](name string, of func(*Q) int64) condition[Q] {
	return text(name, func(q *Q) string { return strconv.FormatInt(of(q), 10) })
}

// single is the list of one value, none of "".
func single(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// flag is a member that is a condition key only where a request has it.
func flag(v api.Opt[bool]) string {
	if !v.Set {
		return ""
	}
	return strconv.FormatBool(v.V)
}

// requestAlias is kms:RequestAlias: the alias that the request names the key by, as its name even where it was an ARN.
func requestAlias[Q any](keyID func(*Q) string) condition[Q] {
	return text("kms:RequestAlias", func(q *Q) string { return aliasName(keyID(q)) })
}

func aliasName(keyID string) string {
	if arn, ok := parseARN(keyID); ok {
		keyID = arn.resource
	}
	if !strings.HasPrefix(keyID, aliasPrefix) {
		return ""
	}
	return keyID
}

// encryptionAlgorithm is kms:EncryptionAlgorithm: the algorithm that is used, whether the request names it or not.
func encryptionAlgorithm[Q any](of func(*Q) api.Opt[api.EncryptionAlgorithmSpec]) condition[Q] {
	return text("kms:EncryptionAlgorithm", func(q *Q) string { return encryption("", of(q)).algorithm })
}

// symmetricAlgorithm is kms:EncryptionAlgorithm of operations that know no other.
func symmetricAlgorithm[Q any]() condition[Q] {
	return encryptionAlgorithm(func(*Q) api.Opt[api.EncryptionAlgorithmSpec] { return symmetric })
}

// contextConditions are those of an encryption context. In kms:EncryptionContext:NAME the case of NAME does not count, it is part of
// a condition key ("Case sensitivity of the encryption context condition"); in kms:EncryptionContextKeys names are values, and the
// policy's operator decides.
func contextConditions[Q any](of func(*Q, *service.Target) map[string]string) conditions[Q] {
	return conditions[Q]{
		{Name: "kms:EncryptionContext:*", Values: func(_ *service.Tx, q *Q, t *service.Target, rest string) []string {
			return service.Folded(maps.All(of(q, t)), rest)
		}},
		{Name: "kms:EncryptionContextKeys", Values: func(_ *service.Tx, q *Q, t *service.Target, _ string) []string {
			return slices.Sorted(maps.Keys(of(q, t)))
		}},
	}
}

// tagConditions are those of the tags that a request brings: aws:RequestTag/NAME, where the case of NAME does not count, and aws:TagKeys
// ("Controlling access to AWS resources using tags", IAM User Guide).
func tagConditions[Q any](of func(*Q) []api.Tag) conditions[Q] {
	return conditions[Q]{
		{Name: "aws:RequestTag/*", Values: func(_ *service.Tx, q *Q, _ *service.Target, rest string) []string {
			return service.Folded(func(yield func(name, value string) bool) {
				for _, tag := range of(q) {
					if !yield(tag.TagKey.V, tag.TagValue.V) {
						return
					}
				}
			}, rest)
		}},
		{Name: "aws:TagKeys", Values: func(_ *service.Tx, q *Q, _ *service.Target, _ string) []string {
			var names []string
			for _, tag := range of(q) {
				names = append(names, tag.TagKey.V)
			}
			return names
		}},
	}
}

// keyProperty is a condition key on what a key is, "" if the key has no such property.
type keyProperty struct {
	name string
	of   func(*record.Key) string
}

// keyProperties are condition keys of every operation on a key, and of those that make one.
var keyProperties = []keyProperty{
	{"kms:KeySpec", func(k *record.Key) string { return k.Spec }},
	{"kms:CustomerMasterKeySpec", func(k *record.Key) string { return k.Spec }},
	{"kms:KeyUsage", func(k *record.Key) string { return k.Usage }},
	{"kms:CustomerMasterKeyUsage", func(k *record.Key) string { return k.Usage }},
	{"kms:KeyOrigin", func(k *record.Key) string { return string(k.Origin) }},
	{"kms:MultiRegion", func(k *record.Key) string { return strconv.FormatBool(k.MultiRegion != nil) }},
	{"kms:MultiRegionKeyType", multiRegionKeyType},
}

// multiRegionKeyType is "" for single-Region keys.
func multiRegionKeyType(k *record.Key) string {
	switch {
	case k.MultiRegion == nil:
		return ""
	case k.Primary():
		return string(api.MultiRegionKeyTypePrimary)
	}
	return string(api.MultiRegionKeyTypeReplica)
}

// newKeyConditions are those on the key that a request asks to make; nil where there is none.
func newKeyConditions[Q any](of func(*service.Tx, *Q, *service.Target) *record.Key) conditions[Q] {
	var list conditions[Q]
	for _, p := range keyProperties {
		list = append(list, condition[Q]{Name: p.name, Values: func(tx *service.Tx, q *Q, t *service.Target, _ string) []string {
			k := of(tx, q, t)
			if k == nil {
				return nil
			}
			return single(p.of(k))
		}})
	}
	return list
}

// resourceConditions returns a target's values of a condition key, by its name in lower case, and whether the target has any. No
// operation has values of its own for a key that its target answers here. A value that cannot be read fails the call, see
// service.Tx.Fail.
func resourceConditions(tx *service.Tx, t *service.Target, key string) (values []string, present bool) {
	if key == "aws:resourceaccount" {
		values = single(t.Account)
	} else if t.Key != nil {
		values = keyConditions(tx, t.Key, key)
	}
	return values, len(values) > 0
}

const resourceTagPrefix = "aws:resourcetag/"

func keyConditions(tx *service.Tx, k *record.Key, key string) []string {
	for _, p := range keyProperties {
		if len(p.name) == len(key) && strings.EqualFold(p.name, key) {
			return single(p.of(k))
		}
	}
	if name, ok := strings.CutPrefix(key, resourceTagPrefix); ok {
		return service.Folded(func(yield func(name, value string) bool) {
			for _, tag := range k.Tags {
				if !yield(tag.Key, tag.Value) {
					return
				}
			}
		}, name)
	}
	if key != "kms:resourcealiases" {
		return nil
	}
	aliases, err := aliasesOf(tx, k)
	if err != nil {
		tx.Fail(err)
	}
	return aliases
}

var errManyAliases = errors.New("kms: a key has more aliases than the quota allows")

// aliasesOf returns the names of a key's aliases. There are never more than the quota, which CreateAlias and UpdateAlias keep. AWS KMS
// denies what depends on kms:ResourceAliases of a key beyond it.
func aliasesOf(tx *service.Tx, k *record.Key) ([]string, error) {
	prefix := record.KeyAliasesPrefix(k.Owner, k.ID)
	entries, err := tx.Scan(prefix, "", aliasesPerKey+1)
	if err != nil {
		return nil, err
	}
	if len(entries) > aliasesPerKey {
		return nil, errManyAliases
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimPrefix(e.Key, prefix)
	}
	return names, nil
}
