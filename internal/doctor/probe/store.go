package probe

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/doctor"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
)

// readStore looks at store and audit log, without writing and without a key.
func readStore(c *doctor.ConfigFacts, in *Input) {
	s := &c.Store
	s.Holder = holder(filepath.Join(in.DataDir, in.Layout.Lock))
	path := filepath.Join(in.DataDir, in.Layout.Store)
	info, err := os.Stat(path)
	if err != nil {
		s.Missing = errors.Is(err, fs.ErrNotExist)
		if !s.Missing {
			s.Err = plain(err)
		}
	} else {
		s.Size = info.Size()
		if err := boltstore.Inspect(path); errors.Is(err, store.ErrLocked) {
			s.Locked = true
		} else if err != nil {
			s.Err = err.Error()
		}
	}
	readAudit(c, filepath.Join(in.DataDir, in.Layout.Audit))
}

// readAudit reads the last segment of the audit log. Its names sort by number.
func readAudit(c *doctor.ConfigFacts, dir string) {
	c.LastAudit = doctor.Unknown[time.Time]("there is no audit log yet")
	names, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	if err != nil || len(names) == 0 {
		if _, err := os.ReadDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.LastAudit = doctor.Unknown[time.Time]("it cannot be looked at: " + plain(err))
		}
		return
	}
	c.Store.Audit = true
	name := filepath.Base(names[len(names)-1])
	first, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(name, "audit-"), ".jsonl"), 10, 64)
	if err != nil {
		return
	}
	var last []byte
	for line, err := range audit.Read(dir, first) {
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
