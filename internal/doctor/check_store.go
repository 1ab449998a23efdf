package doctor

import "fmt"

// other is the finding about what only another user can look at.
func other(f *Facts, why string) []Finding { return one(Skip, why, asOwner(f)) }

// asOwner says who can.
func asOwner(f *Facts) string {
	if c := f.Config; c != nil && c.Owner != "" {
		return "run it as user " + c.Owner
	}
	return "run it as the user that the server runs as"
}

var storeChecks = []Check{
	{ID: "store", Title: "The store can be opened", Needs: Loaded, Eval: func(f *Facts) []Finding {
		s := &f.Config.Store
		switch {
		case s.Restoring && s.Holder.V != 0:
			return skip("a restore into it is running")
		case s.Restoring:
			return one(Fail, "an unfinished restore is in "+f.Config.DataDir.Path, "remove the directory and restore again")
		case s.Locked || s.Holder.Known && s.Holder.V != 0:
			return ok("a server runs on it")
		case s.Missing && s.Audit:
			return one(Fail, "there is an audit log but no store: the store was lost", "restore the data directory from a backup; never begin anew beside an old audit log")
		case s.Missing:
			return one(Warn, "there is none yet", "run keyturn init with this configuration")
		case s.Unread != "":
			return other(f, s.Unread)
		case s.Err != "":
			return one(Fail, s.Err, "restore the data directory from a backup, or use the keyturn that made it")
		}
		return ok("%s in a format that this keyturn reads", bytes(uint64(s.Size)))
	}},
	{ID: "seal-opens", Title: "The seal opens the store", Needs: Loaded, Eval: func(f *Facts) []Finding {
		s := &f.Config.Store
		switch {
		case s.Locked || s.Holder.Known && s.Holder.V != 0:
			return skip("a server runs on it")
		case s.Seal.Err != "":
			fix := s.Seal.Fix
			if fix == "" {
				fix = "mend the section seal of the configuration"
			}
			return one(Fail, s.Seal.Err, fix)
		case s.Seal.Unread != "":
			return other(f, s.Seal.Unread)
		case s.Seal.Migrates:
			return ok("seal.previous does; the server migrates it when it starts")
		case s.Seal.Opens:
			return ok("it does")
		case s.Seal.Why != "":
			return skip("%s", s.Seal.Why)
		}
		return skip("the store cannot be looked at, or there is none")
	}},
	{ID: "keyring", Title: "The keyring has room for new versions", Needs: Loaded, Eval: func(f *Facts) []Finding {
		s := &f.Config.Store.Seal
		switch {
		case !s.Opens && !s.Migrates:
			return skip("the store was not opened; a server tells with keyturn seal status")
		case s.Left == 0:
			return one(Fail, "it has as many as it can have: it rotates no more, and the root key cannot be replaced", "set up another deployment, and have data re-encrypted there")
		case s.LeftOnDemand == 0:
			return one(Warn, fmt.Sprintf("it can have %d more, which are kept for rotations that are due and for new root keys", s.Left),
				"find out in the audit log who rotates it so often (RotateKeyring, CompactStore, RotateRootKey)")
		}
		return ok("it can have %d more", s.Left)
	}},
	{ID: "audit", Title: "The audit log's last segment can be read", Needs: Loaded, Eval: func(f *Facts) []Finding {
		c := f.Config
		switch {
		case c.Store.Data && c.AuditMissing:
			return one(Fail, "there is a store but no audit log: the log was lost",
				"put the folder back, or mount the disk that it is on; if it is lost, start once with keyturn server --new-audit-log")
		case c.AuditErr != "":
			return one(Fail, c.AuditErr, "do not change the files; keep a copy, and find out who did")
		case !c.LastAudit.Known:
			return skip("%s", c.LastAudit.Why)
		}
		return ok("its last record is of %s", date(c.LastAudit.V))
	}},
}
