package unseal

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/seal/shamir"
)

// secret is an Attended that waits for one passphrase, and counts the tries.
type secret struct {
	seal.KeyFile
	tries int
	given bool
}

func (s *secret) Needs([]byte) (seal.Needs, error) {
	n := seal.Needs{What: "passphrase", Needed: 1}
	if s.given {
		n.Given = 1
	}
	return n, nil
}

func (s *secret) Give(sealed, text []byte) (seal.Needs, error) {
	s.tries++
	if s.given = s.given || string(text) == "correct horse battery"; !s.given {
		return seal.Needs{What: "passphrase", Needed: 1}, seal.ErrWrongKey
	}
	return s.Needs(sealed)
}

func (s *secret) Forget() {}

// waitForSecret lets a gate wait for a passphrase.
func waitForSecret(t *testing.T) (*testGate, *secret) {
	t.Helper()
	g, p := newGate(t), &secret{KeyFile: *seal.NewKeyFile(root)}
	sealed, err := p.Seal(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	g.unseal(t, t.Context(), p, sealed)
	return g, p
}

// TestThrottled: the gate asks to wait before it looks at what could be guessed.
func TestThrottled(t *testing.T) {
	g, p := waitForSecret(t)
	if status, _, _ := g.do(t, request("POST", Path, "192.0.2.1", "wrong")); status != http.StatusUnprocessableEntity {
		t.Fatalf("wrong: %d", status)
	}
	status, s, resp := g.do(t, request("POST", Path, "192.0.2.1", "correct horse battery"))
	if status != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "1" || !strings.Contains(s.Error, "wait") || p.tries != 1 {
		t.Errorf("at once again: %d %+v %v, %d tries", status, s, resp.Header, p.tries)
	}
	// On the machine itself it can be given all the same.
	if status, s, _ := g.do(t, request("POST", Path, "127.0.0.1", "correct horse battery")); status != http.StatusOK {
		t.Fatalf("from the machine: %d %+v", status, s)
	}
	if err := <-g.result; err != nil {
		t.Error(err)
	}
}

// TestThrottledSlowly: bodies that come slowly and many at once get no more tries than those that come one after the other.
func TestThrottledSlowly(t *testing.T) {
	g, p := waitForSecret(t)
	var bodies []*io.PipeWriter
	answers := make(chan int)
	for range 10 {
		r := request("POST", Path, "192.0.2.1", "")
		body, w := io.Pipe()
		r.Body = body
		go func() {
			rec := httptest.NewRecorder()
			g.ServeHTTP(rec, r)
			answers <- rec.Code
		}()
		if _, err := w.Write([]byte("wrong")); err != nil { // it is being read
			t.Fatal(err)
		}
		bodies = append(bodies, w)
	}
	for i, w := range bodies {
		w.Close() //nolint:errcheck // never fails
		want := http.StatusTooManyRequests
		if i == 0 {
			want = http.StatusUnprocessableEntity
		}
		if status := <-answers; status != want {
			t.Errorf("body %d: %d, want %d", i, status, want)
		}
	}
	if p.tries != 1 {
		t.Errorf("%d tries were looked at", p.tries)
	}
	g.now = g.now.Add(time.Second)
	if status, s, _ := g.do(t, request("POST", Path, "192.0.2.1", "correct horse battery")); status != http.StatusOK {
		t.Fatalf("after the wait: %d %+v", status, s)
	}
	if err := <-g.result; err != nil {
		t.Error(err)
	}
}

// TestRightSharesGetThrough: strangers have used up what there is, from everywhere and from the person's own address. Wrong shares wait, right ones,
// which nobody can guess, do not, whether they are given or reset what was given.
func TestRightSharesGetThrough(t *testing.T) {
	g := newGate(t)
	sealed, texts := splitKey(t, 3, 2)
	_, foreign := splitKey(t, 3, 2)
	g.unseal(t, t.Context(), new(shamir.Provider), sealed)
	throttled := 0
	for i := range 2 * allBurst {
		for _, from := range []string{"192.0.2.1", fmt.Sprintf("198.51.100.%d", i)} {
			if status, _, _ := g.do(t, request("POST", Path, from, foreign[i%3])); status == http.StatusTooManyRequests {
				throttled++
			}
		}
	}
	if throttled < 2*allBurst {
		t.Fatalf("strangers are throttled %d times", throttled)
	}
	for _, step := range []struct{ name, path, from, text string }{
		{"the first", Path, "192.0.2.1", texts[0]},
		{"reset", ResetPath, "192.0.2.1", texts[1]},
		{"from elsewhere", Path, "203.0.113.1", texts[2]},
		{"the last", Path, "192.0.2.1", texts[0]},
	} {
		for _, path := range []string{Path, ResetPath} {
			for _, wrong := range []string{foreign[0], "wrong", ""} {
				if status, _, _ := g.do(t, request("POST", path, "203.0.113.1", wrong)); status != http.StatusTooManyRequests {
					t.Errorf("before %s, a wrong one to %s: %d", step.name, path, status)
				}
			}
		}
		if status, s, _ := g.do(t, request("POST", step.path, step.from, step.text)); status != http.StatusOK {
			t.Fatalf("%s: %d %+v", step.name, status, s)
		}
	}
	if err := <-g.result; err != nil {
		t.Error(err)
	}
}

// TestOneAtATime: while something is looked at, others are asked to come again. Who has a share, or is on the machine, waits for it.
func TestOneAtATime(t *testing.T) {
	sealed, texts := splitKey(t, 3, 2)
	for _, test := range []struct {
		name, from, text string
		status           int
	}{
		{"a wrong share", "192.0.2.1", "wrong", http.StatusTooManyRequests},
		{"a right share", "192.0.2.1", texts[0], http.StatusOK},
		{"on the machine", "::1", "wrong", http.StatusUnprocessableEntity},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGate(t)
			g.unseal(t, t.Context(), new(shamir.Provider), sealed)
			answer := make(chan *httptest.ResponseRecorder, 1)
			g.trying.Lock()
			go func() {
				rec := httptest.NewRecorder()
				g.ServeHTTP(rec, request("POST", Path, test.from, test.text))
				answer <- rec
			}()
			var early *httptest.ResponseRecorder
			for began := time.Now(); early == nil && (time.Since(began) < 50*time.Millisecond || test.status == http.StatusTooManyRequests); {
				select {
				case early = <-answer:
				default:
					runtime.Gosched()
				}
			}
			g.trying.Unlock()
			rec := early
			if rec == nil {
				rec = <-answer
			}
			if rec.Code != test.status || (early != nil) != (test.status == http.StatusTooManyRequests) {
				t.Errorf("%d, before the other was done: %v", rec.Code, early != nil)
			}
			if early != nil && early.Header().Get("Retry-After") != "1" {
				t.Errorf("headers %v", early.Header())
			}
			for _, text := range texts {
				g.do(t, request("POST", Path, "192.0.2.2", text))
			}
			if err := <-g.result; err != nil {
				t.Error(err)
			}
		})
	}
}
