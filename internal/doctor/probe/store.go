package probe

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/doctor"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
)

// readStore looks at store and audit log, without writing and without a key.
func readStore(ctx context.Context, c *doctor.ConfigFacts, in *Input) {
	s := &c.Store
	s.Holder = holder(filepath.Join(in.DataDir, in.Layout.Lock))
	path := filepath.Join(in.DataDir, in.Layout.Store)
	info, err := os.Stat(path)
	if err == nil {
		s.Size = info.Size()
		err = boltstore.Inspect(path)
	}
	switch {
	case err == nil:
		readSeal(ctx, s, in, path)
	case errors.Is(err, fs.ErrNotExist):
		s.Missing = true
	case errors.Is(err, store.ErrLocked):
		s.Locked = true
	case errors.Is(err, fs.ErrPermission):
		s.Unread = path + ": " + plain(err)
	default:
		s.Err = err.Error()
	}
	readAudit(c, filepath.Join(in.DataDir, in.Layout.Audit))
}

// readSeal reads the seal's own entries, and whether there are others, and lets the store go before it tries the seal: that may take a while, and a
// server that starts must find the store free.
func readSeal(ctx context.Context, s *doctor.StoreFacts, in *Input, path string) {
	if in.Layout.Reserved == "" || in.Unseal == nil {
		return
	}
	st, err := boltstore.Open(path, boltstore.Options{ReadOnly: true})
	if errors.Is(err, store.ErrLocked) { // a server has just started
		s.Locked = true
		return
	}
	var own, before, after []store.Entry
	if err == nil {
		own, err = st.Scan(ctx, in.Layout.Reserved, "", maxReserved)
		if err == nil {
			before, err = st.Scan(ctx, "", "", 1)
		}
		if err == nil {
			after, err = st.Scan(ctx, "", in.Layout.Reserved+"\xff", 1)
		}
		err = errors.Join(err, st.Close())
	}
	if err != nil {
		s.Err = err.Error()
		return
	}
	s.Data = len(after) > 0 || len(before) > 0 && !strings.HasPrefix(before[0].Key, in.Layout.Reserved)
	if len(own) > 0 || s.Data {
		s.Seal = in.Unseal(ctx, own)
	} else {
		s.Seal.Why = "the store is empty"
	}
}

// maxReserved is how many entries of its own a seal has at most.
const maxReserved = 16

// readAudit reads the last segment of the audit log.
func readAudit(c *doctor.ConfigFacts, dir string) {
	c.LastAudit = doctor.Unknown[time.Time]("there is no audit log yet")
	firsts, err := audit.Segments(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.LastAudit = doctor.Unknown[time.Time]("it cannot be looked at: " + plain(err))
		return
	}
	if len(firsts) == 0 {
		c.AuditMissing = true
		return
	}
	c.Store.Audit = true
	var last []byte
	for line, err := range audit.Read(dir, firsts[len(firsts)-1]) {
		if errors.Is(err, fs.ErrPermission) {
			c.LastAudit = doctor.Unknown[time.Time]("it cannot be read by this user")
			return
		}
		if err != nil {
			c.AuditErr = err.Error()
			return
		}
		last = line.JSON
	}
	var e struct {
		At time.Time `json:"eventTime"`
	}
	if last == nil {
		c.LastAudit = doctor.Unknown[time.Time]("its last segment is empty")
	} else if err := json.Unmarshal(last, &e); err != nil {
		c.AuditErr = "the last record of the audit log has no date"
	} else {
		c.LastAudit = doctor.Got(e.At)
	}
}
