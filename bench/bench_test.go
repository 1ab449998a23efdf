package main

import (
	"context"
	"crypto/fips140"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func TestReplySize(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello"
	for _, tc := range []struct {
		name, data string
		size       int
		fails      bool
	}{
		{"whole", whole, len(whole), false},
		{"length last", "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 0\r\n\r\n", 44, false},
		{"body to come", whole[:len(whole)-5], len(whole), false},
		{"head to come", whole[:30], 0, false},
		{"nothing", "", 0, false},
		{"refused", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 0, true},
		{"no length", "HTTP/1.1 200 OK\r\n\r\nContent-Length: 5\r\n\r\n", 0, true},
		{"negative", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", 0, true},
		{"no number", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 0, true},
	} {
		size, err := replySize([]byte(tc.data))
		if size != tc.size || (err != nil) != tc.fails {
			t.Errorf("%s: %d, %v", tc.name, size, err)
		}
	}
}

// However much of a reply has come, its size is not known yet or the right one.
func FuzzReplySize(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 40)
	f.Add("HTTP/1.1 200 OK\r\n\r\n", 3)
	f.Fuzz(func(t *testing.T, data string, cut int) {
		whole, err := replySize([]byte(data))
		if err != nil {
			if whole != 0 {
				t.Fatalf("size %d with an error", whole)
			}
			return
		}
		if whole != 0 && whole < strings.Index(data, "\r\n\r\n")+4 {
			t.Fatalf("%d bytes are less than the head", whole)
		}
		part, err := replySize([]byte(data[:min(max(cut, 0), len(data))]))
		if err != nil || part != 0 && part != whole {
			t.Fatalf("the whole says %d, a part %d, %v", whole, part, err)
		}
	})
}

func TestStats(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(tc.values); got != tc.want {
			t.Errorf("median of %v: %v", tc.values, got)
		}
	}
	if q := quotients([]float64{1, 6}, []float64{2, 3}); len(q) != 2 || q[0] != 0.5 || q[1] != 2 {
		t.Errorf("quotients: %v", q)
	}
	for n, want := range map[int]string{7: "7", 1000: "1,000", 1_002_003: "1,002,003"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s", n, got)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, tc := range []struct {
		args  string
		fails bool
	}{
		{"", false}, {"-short", false}, {"-op Decrypt,Encrypt", false}, {"-cpuprofile x", false},
		{"-op all", false}, {"-op Sign-ED25519", false},
		{"-op Sign", true}, {"-part none", true}, {"-duration 3m", true}, {"-pairs 0", true}, {"extra", true},
		{"-cpuprofile x -op Encrypt,Decrypt", true},
	} {
		o, err := parseFlags(strings.Fields(tc.args), io.Discard)
		if (err != nil) != tc.fails {
			t.Errorf("%q: %v", tc.args, err)
		}
		if tc.args == "-short" && (o.pairs != 3 || o.duration != 500*time.Millisecond || len(o.operations) != 3) {
			t.Errorf("-short: %+v", o)
		}
	}
}

// openFilled serves a store of n keys as the profiled server does.
func openFilled(t *testing.T, n int) (*local, *httptest.Server) {
	t.Helper()
	dir, err := newDataDir(t.TempDir(), "data")
	if err != nil {
		t.Fatal(err)
	}
	if err := fillDir(t.Context(), dir, n, 1000); err != nil {
		t.Fatal(err)
	}
	l, err := openLocal(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
	h, err := l.handler(dir, service.RootCaller(account, accessKeyID))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return l, server
}

// A filled store must be as the operations would have made it: its keys list, describe, encrypt and rotate, and are counted.
func TestFill(t *testing.T) {
	const n = 2*keysPerCommit + 3
	l, server := openFilled(t, n)
	ctx := t.Context()
	client, _ := newSDK(server.URL)
	page, err := client.ListKeys(ctx, &sdk.ListKeysInput{Limit: aws.Int32(1000)})
	if err != nil || len(page.Keys) != n {
		t.Fatalf("%d keys, %v", len(page.Keys), err)
	}
	id := page.Keys[n/2].KeyId
	out, err := client.Encrypt(ctx, &sdk.EncryptInput{KeyId: id, Plaintext: []byte("text")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.RotateKeyOnDemand(ctx, &sdk.RotateKeyOnDemandInput{KeyId: id}); err != nil {
		t.Fatal(err)
	}
	plain, err := client.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: out.CiphertextBlob})
	if err != nil || string(plain.Plaintext) != "text" {
		t.Fatalf("%v", err)
	}
	status, err := client.GetKeyRotationStatus(ctx, &sdk.GetKeyRotationStatusInput{KeyId: id})
	if err != nil || !status.KeyRotationEnabled || !status.NextRotationDate.After(time.Now()) {
		t.Fatalf("%+v, %v", status, err)
	}
	var sum int64
	for _, name := range record.KeyCounters(benchOwner()) {
		entries, err := l.store.Get(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		count, err := record.DecodeCounter(entries[0].Value)
		if err != nil {
			t.Fatal(err)
		}
		sum += count
	}
	if sum != n {
		t.Errorf("counters say %d keys", sum)
	}
	due, err := l.store.Scan(ctx, record.DuePrefix, "", 2*n)
	if err != nil || len(due) != n {
		t.Errorf("%d due entries, %v", len(due), err)
	}
	before := l.log.NextSeq()
	if err := l.runner.RunDue(ctx); err != nil || l.log.NextSeq() != before {
		t.Errorf("something was due: %v", err)
	}
}

// The yardstick must answer as many bytes as what it is measured against, to the very same request.
func TestBareAnswersTheSame(t *testing.T) {
	_, server := openFilled(t, 1)
	client, rec := newSDK(server.URL)
	list, err := client.ListKeys(t.Context(), &sdk.ListKeysInput{})
	if err != nil {
		t.Fatal(err)
	}
	s := &subject{client: client, rec: rec, keyID: *list.Keys[0].KeyId, others: make(map[string]*otherKey)}
	out, err := s.encrypt(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.blob = out.CiphertextBlob
	all, err := chooseOperations("all")
	if err != nil || len(all) < 10 {
		t.Fatalf("%d operations, %v", len(all), err)
	}
	for _, op := range all {
		if fips140.Enforced() && strings.HasSuffix(op.name, "ML_DSA_65") {
			continue // not there in FIPS 140-only mode
		}
		request, err := op.capture(t.Context(), s)
		if err != nil {
			t.Fatalf("%s: %v", op.name, err)
		}
		var library func() error
		if op.library != nil {
			if library, err = op.library(); err != nil {
				t.Fatalf("%s: %v", op.name, err)
			}
		}
		bare := httptest.NewServer(bareHandler(rec.reply, library))
		sizes := make([]int, 2)
		for i, url := range []string{server.URL, bare.URL} {
			c, err := dial(t.Context(), strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // replayed, on one connection
				if err := c.roundTrip(request); err != nil {
					t.Fatalf("%s: %v", op.name, err)
				}
			}
			if sizes[i], err = replySize(c.buf); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		bare.Close()
		if sizes[0] != sizes[1] || sizes[0] == 0 {
			t.Errorf("%s: replies of %v bytes", op.name, sizes)
		}
	}
}

// A refusal must not count as a fast answer.
func TestRefusalsAreErrors(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	c, err := dial(t.Context(), strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.roundTrip([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"))
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
}
