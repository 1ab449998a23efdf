package backup

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
)

var update = flag.Bool("update", false, "make the files of this version of the format, if they are not there")

// corpus are backups as versions of the format wrote them. They must restore for ever: they are somebody's. Files are only ever added.
var corpus = []struct {
	format, accounts, lines int
	names                   []string
}{
	{1, 25, 40, []string{"v1-full.backup", "v1-incremental.backup"}},
	{1, 25, 40, []string{"v1-seal-full.backup", "v1-seal-incremental.backup"}},
	{1, 25, 40, []string{"v1-line-full.backup", "v1-line-incremental.backup"}}, // with the digests of lines and of what is kept
}

const corpusIdentity = "testdata/identity.txt"

func TestCorpus(t *testing.T) {
	needsAge(t)
	if *update {
		makeCorpus(t)
	}
	text, err := os.ReadFile(corpusIdentity)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ParseIdentities(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range corpus {
		t.Run(c.names[0], func(t *testing.T) {
			var files [][]byte
			for _, name := range c.names {
				files = append(files, corpusFile(t, name))
			}
			id := ids[0]
			if _, err := chain(t, id, files[0]); err != nil {
				id = NewSealIdentity(t.Context(), testProvider(1))
			}
			ch, err := chain(t, id, files...)
			if err != nil {
				t.Fatal(err)
			}
			if got := ch.Last().Header().Format; got != c.format {
				t.Errorf("format %d", got)
			}
			v, err := Verify(t.Context(), ch)
			if err != nil || v.Kinds["n"] != int64(c.accounts) || v.Lines != int64(c.lines) {
				t.Errorf("verified %+v (%v)", v, err)
			}
			r, err := restore(t, id, files...)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(entries(t, r.store)); n < c.accounts {
				t.Errorf("%d entries", n)
			}
		})
	}
}

// makeCorpus makes the files that are not there.
func makeCorpus(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(corpusIdentity); err != nil {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		put(t, corpusIdentity, []byte(id.String()+"\n"))
	}
	text, err := os.ReadFile(corpusIdentity)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := age.ParseIdentities(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	to := new(Recipients)
	if err := to.Add(ids[0].(*age.X25519Identity).Recipient().String()); err != nil {
		t.Fatal(err)
	}
	for _, c := range corpus {
		if _, err := os.Stat(filepath.Join("testdata", c.names[0])); err == nil || c.format != Format {
			continue
		}
		o := Options{Recipients: to}
		if c.names[0] == "v1-seal-full.backup" {
			o.Recipients = nil
		}
		d := newDeployment(t, 14)
		d.change(30)
		b, full := d.backup(o)
		d.change(10)
		o.Since = &b.Position
		_, incremental := d.backup(o)
		put(t, filepath.Join("testdata", c.names[0]), full)
		put(t, filepath.Join("testdata", c.names[1]), incremental)
	}
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
