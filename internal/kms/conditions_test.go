package kms_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/nitro"
	"github.com/keyturn/keyturn/internal/nitro/nitrotest"
	"github.com/keyturn/keyturn/internal/service"
)

// conditionCase is a request and all the condition keys that it must have, as AWS writes them, with their values joined by commas.
type conditionCase struct {
	op     string
	req    any
	action string // of the targets that are looked at; "" for all
	want   map[string]string
}

// samples are the names that are asked for where a condition key ends in a *.
var samples = map[string][]string{
	"kms:EncryptionContext:*":       {"", "App", "stage", "other"},
	"aws:RequestTag/*":              {"", "Team", "other"},
	"kms:RecipientAttestation:PCR*": {"", "0", "00", "3", "31"},
}

// foreign are condition keys that no operation answers itself.
var foreign = []string{
	"", "kms:", "kms:CallerAccount", "kms:ViaService", "kms:ResourceAliases", "kms:EncryptionContext", "aws:RequestTag", "aws:ResourceAccount",
	"aws:ResourceTag/Team", "kms:RecipientAttestation:NitroTPMPCR4", "kms:KeySpecs",
}

// conditionKey is a key to ask for and the name that an operation declares it by; "" if none does.
type conditionKey struct{ key, declared string }

func conditionKeys(ops []*service.Op) []conditionKey {
	var list []conditionKey
	seen := map[string]bool{}
	for _, op := range ops {
		for _, name := range op.CondKeys {
			if seen[name] {
				continue
			}
			seen[name] = true
			prefix, many := strings.CutSuffix(name, "*")
			if !many {
				list = append(list, conditionKey{name, name})
			}
			for _, s := range samples[name] {
				list = append(list, conditionKey{prefix + s, name})
			}
		}
	}
	for _, key := range foreign {
		list = append(list, conditionKey{key, ""})
	}
	return list
}

// conditionBench is a bench with an enclave whose documents it believes, and all operations that a request can be made of.
func conditionBench(t *testing.T) (*bench, []*service.Op, *nitrotest.PKI) {
	t.Helper()
	pki, err := nitrotest.New(nitrotest.Config{Now: start})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := nitro.New(nitro.Config{Roots: pki.Roots()})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, kms.Config{Attestation: verifier, RealTime: func() time.Time { return start }})
	t.Cleanup(func() { b.close(t) })
	ops := slices.Concat(b.kms.Operations(), b.kms.Extensions(), b.kms.ExternalKeys(), b.runner.Operations(b.clock))
	maps.Copy(b.ops, service.Table(b.kms.ExternalKeys()))
	return b, ops, pki
}

// ask runs a request and looks at every question to the authorizer. What becomes of the request does not matter.
func (b *bench) ask(t *testing.T, op string, req any, look func(*service.Authorization)) {
	t.Helper()
	b.onAsked(look)
	defer b.onAsked(nil)
	call := &service.Call{Caller: b.caller, Region: region, RequestID: keys.NewKeyID().String(), SourceIP: "192.0.2.1", UserAgent: "test"}
	if q, ok := req.(api.Request); ok {
		if err := q.Validate(); err != nil {
			t.Fatalf("%s: %v", op, err)
		}
		b.p.Do(context.Background(), b.ops[op], call, q, nil)
		return
	}
	b.p.DoLocal(context.Background(), b.ops[op], call, req)
}

// TestConditions asks for every condition key there is in requests of every operation that has some: each request has the keys it must
// have, and no others. What an operation declares is answered by some request and absent from another, and nothing else is answered.
func TestConditions(t *testing.T) {
	b, ops, pki := conditionBench(t)
	all := conditionKeys(ops)
	answered, absent := map[string]bool{}, map[string]bool{}
	for _, c := range conditionCases(t, b, pki) {
		asked := 0
		b.ask(t, c.op, c.req, func(a *service.Authorization) {
			if c.action != "" && a.Target.Action != c.action {
				return
			}
			got := map[string]string{}
			for _, k := range all {
				values, present := a.Cond(strings.ToLower(k.key))
				if present != (len(values) > 0) {
					t.Errorf("%s: %s is present: %v, with the values %q", c.op, k.key, present, values)
				}
				if !present {
					absent[k.declared] = true
					continue
				}
				got[k.key] = strings.Join(values, ",")
				answered[c.op+" "+k.declared] = true
				if !slices.Contains(a.Op.CondKeys, k.declared) {
					t.Errorf("%s answers %s, which it does not declare", c.op, k.key)
				}
				if _, twice := kms.ResourceConditions(a.Tx, a.Target, strings.ToLower(k.key)); twice {
					t.Errorf("%s: %s is both the request's and the resource's", c.op, k.key)
				}
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("%s of %s has the conditions\n%v\nwant\n%v", a.Target.Action, c.op, got, c.want)
			}
			asked++ // not reached by a panic
		})
		if asked == 0 {
			t.Errorf("%s: nobody asked about %s", c.op, c.action)
		}
	}
	for _, op := range ops {
		for _, name := range op.CondKeys {
			if !answered[op.Service+"."+op.Name+" "+name] {
				t.Errorf("%s.%s declares %s, which no request has", op.Service, op.Name, name)
			}
			if !absent[name] {
				t.Errorf("%s is absent from no request", name)
			}
		}
	}
}

// TestResourceConditions has keys of all kinds as targets.
func TestResourceConditions(t *testing.T) {
	b, _, _ := conditionBench(t)
	plain, _ := b.newKey(t, &api.CreateKeyRequest{Tags: []api.Tag{newTag("Team", "a,b"), newTag("TEAM", "c"), newTag("cost", "1")}})
	for _, name := range []string{"alias/one", "alias/two"} {
		b.run(t, "CreateAlias", &api.CreateAliasRequest{AliasName: str(name), TargetKeyId: str(plain)})
	}
	signer, _ := b.newKey(t, &api.CreateKeyRequest{KeySpec: str(api.KeySpecEccNistP256), KeyUsage: str(api.KeyUsageTypeSignVerify)})
	bare, _ := b.newKey(t, &api.CreateKeyRequest{KeySpec: str(api.KeySpecHmac256), KeyUsage: str(api.KeyUsageTypeGenerateVerifyMac)})
	imported, _ := b.external(t, api.CreateKeyRequest{})
	related := b.newMultiRegion(t, api.CreateKeyRequest{})
	b.replicate(t, related, west)
	property := func(spec, usage, origin string) map[string]string {
		return map[string]string{
			"kms:keyspec": spec, "kms:customermasterkeyspec": spec, "kms:keyusage": usage, "kms:customermasterkeyusage": usage,
			"kms:keyorigin": origin, "kms:multiregion": "false", "aws:resourceaccount": account,
		}
	}
	with := func(m map[string]string, more ...string) map[string]string {
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	own := map[string]string{"aws:resourceaccount": account}
	describe := func(id string) api.Request { return &api.DescribeKeyRequest{KeyId: str(id)} }
	for name, c := range map[string]struct {
		op   string
		req  api.Request
		want []map[string]string // of each target
	}{
		"symmetric": {"DescribeKey", describe(plain), []map[string]string{with(property("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS"),
			"kms:resourcealiases", "alias/one,alias/two", "aws:resourcetag/team", "a,b,c", "aws:resourcetag/cost", "1")}},
		"by alias": {"DescribeKey", describe("alias/two"), []map[string]string{with(property("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS"),
			"kms:resourcealiases", "alias/one,alias/two", "aws:resourcetag/team", "a,b,c", "aws:resourcetag/cost", "1")}},
		"asymmetric": {"DescribeKey", describe(signer), []map[string]string{property("ECC_NIST_P256", "SIGN_VERIFY", "AWS_KMS")}},
		"imported":   {"DescribeKey", describe(imported), []map[string]string{property("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "EXTERNAL")}},
		"related": {"UpdatePrimaryRegion", &api.UpdatePrimaryRegionRequest{KeyId: str(related), PrimaryRegion: str(west)}, []map[string]string{
			with(property("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS"), "kms:multiregion", "true", "kms:multiregionkeytype", "PRIMARY"),
			with(property("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS"), "kms:multiregion", "true", "kms:multiregionkeytype", "REPLICA"),
		}},
		"missing":          {"DescribeKey", describe("00000000-0000-4000-8000-000000000000"), []map[string]string{own}},
		"no key":           {"ListKeys", &api.ListKeysRequest{}, []map[string]string{own}},
		"another's":        {"DescribeKey", describe("arn:aws:kms:" + region + ":444455556666:key/" + plain), []map[string]string{{"aws:resourceaccount": "444455556666"}}},
		"alias, then key":  {"CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/x"), TargetKeyId: str(bare)}, []map[string]string{own, property("HMAC_256", "GENERATE_VERIFY_MAC", "AWS_KMS")}},
		"not made by then": {"DescribeKey", describe("alias/aws/ebs"), []map[string]string{own, with(property("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS"), "kms:resourcealiases", "alias/aws/ebs")}},
	} {
		var got []map[string]string
		b.ask(t, "kms."+c.op, c.req, func(a *service.Authorization) {
			m := map[string]string{}
			for _, key := range []string{
				"kms:keyspec", "kms:customermasterkeyspec", "kms:keyusage", "kms:customermasterkeyusage", "kms:keyorigin", "kms:multiregion",
				"kms:multiregionkeytype", "kms:resourcealiases", "aws:resourceaccount", "aws:resourcetag/team", "aws:resourcetag/cost",
				"aws:resourcetag/", "aws:resourcetag/other", "aws:resourcetag", "kms:keyspe", "kms:", "",
			} {
				if values, present := kms.ResourceConditions(a.Tx, a.Target, key); present {
					m[key] = strings.Join(values, ",")
				}
			}
			got = append(got, m)
		})
		if !slices.EqualFunc(got, c.want, maps.Equal) {
			t.Errorf("%s: the targets have\n%v\nwant\n%v", name, got, c.want)
		}
	}
}

func newTag(name, value string) api.Tag { return api.Tag{TagKey: str(name), TagValue: str(value)} }

// TestAttestationElsewhere has a server that verifies no documents: they say nothing there.
func TestAttestationElsewhere(t *testing.T) {
	pki, err := nitrotest.New(nitrotest.Config{Now: start})
	if err != nil {
		t.Fatal(err)
	}
	document, err := pki.Document(nitrotest.Claims{Timestamp: start})
	if err != nil {
		t.Fatal(err)
	}
	b := testBench(t)
	asked := false
	b.ask(t, "kms.GenerateRandom", &api.GenerateRandomRequest{
		NumberOfBytes: api.Some[int64](8), Recipient: &api.RecipientInfo{AttestationDocument: document},
	}, func(a *service.Authorization) {
		if values, present := a.Cond("kms:recipientattestation:pcr0"); present {
			t.Errorf("it has the values %q", values)
		}
		asked = true
	})
	if !asked {
		t.Error("nobody asked")
	}
}

// TestAttestedOnce counts how often a document is verified, by how often it is asked what time it is: once a request, for all conditions
// and the plan together, bad documents included.
func TestAttestedOnce(t *testing.T) {
	verifier, err := nitro.New(nitro.Config{})
	if err != nil {
		t.Fatal(err)
	}
	times := 0
	b := newBench(t, kms.Config{Attestation: verifier, RealTime: func() time.Time { times++; return start }})
	t.Cleanup(func() { b.close(t) })
	b.ask(t, "kms.GenerateRandom", &api.GenerateRandomRequest{NumberOfBytes: api.Some[int64](8), Recipient: &api.RecipientInfo{
		KeyEncryptionAlgorithm: str(api.KeyEncryptionMechanismRsaesOaepSha256), AttestationDocument: []byte("no document"),
	}}, func(a *service.Authorization) {
		for _, key := range []string{"imagesha384", "pcr0", "pcr1"} {
			a.Cond("kms:recipientattestation:" + key)
		}
	})
	if times != 1 {
		t.Errorf("the document was verified %d times", times)
	}
}
