package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
)

// censusFile in the data directory is how many keys there were when the server ended as it should, so that they need not be counted again.
const censusFile = "census.json"

const maxCensus = 1 << 20

// census is a count of keys. It is good for the store at this revision and no other.
type census struct {
	Deployment string              `json:"deployment"`
	Revision   store.Rev           `json:"revision"`
	Keys       service.CensusState `json:"keys"`
}

// head returns the revision of an engine that tells it, else 0.
func head(engine store.Store) store.Rev {
	if e, ok := engine.(store.Statser); ok {
		if s, err := e.Stats(); err == nil {
			return s.Head
		}
	}
	return 0
}

// resumeCensus takes up the count of an earlier run, if the store has not changed since. It is worth nothing more than the time to count:
// whatever is wrong with the file, the keys are counted anew.
func (a *app) resumeCensus(dir, deployment string, at store.Rev) {
	path := filepath.Join(dir, censusFile)
	data, err := readBounded(path, maxCensus)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	// Good for one start: after a crash the store may have gone on.
	if err := errors.Join(err, os.Remove(path)); err != nil {
		a.log.Warn("the count of keys cannot be read; they are counted anew", "error", err)
		return
	}
	var c census
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil || c.Deployment != deployment || c.Revision != at || at == 0 {
		return
	}
	a.pipeline.Census().Resume(c.Keys)
}

// saveCensus keeps the count for the next start. Nothing may change the store any more.
func (a *app) saveCensus(dir, deployment string, engine store.Store) {
	if a.pipeline == nil {
		return
	}
	state, ok := a.pipeline.Census().State()
	at := head(engine)
	if !ok || at == 0 {
		return
	}
	err := replaceOwnFile(filepath.Join(dir, censusFile), func(w io.Writer) error {
		return json.NewEncoder(w).Encode(census{Deployment: deployment, Revision: at, Keys: state})
	})
	if err != nil {
		a.log.Warn("the count of keys cannot be kept; the next start counts them", "error", err)
	}
}
