package doctor

var storeChecks = []Check{
	{ID: "store", Title: "The store can be opened", Needs: Loaded, Eval: func(f *Facts) []Finding {
		s := &f.Config.Store
		switch {
		case s.Locked || s.Holder.Known && s.Holder.V != 0:
			return ok("a server runs on it")
		case s.Missing && s.Audit:
			return one(Fail, "there is an audit log but no store: the store was lost", "restore the data directory from a backup; never begin anew beside an old audit log")
		case s.Missing:
			return one(Warn, "there is none yet", "run keyturn init with this configuration")
		case s.Err != "":
			return one(Fail, s.Err, "restore the data directory from a backup, or use the keyturn that made it")
		}
		return ok("%s in a format that this keyturn reads", bytes(uint64(s.Size)))
	}},
	{ID: "audit", Title: "The audit log's last segment can be read", Needs: Loaded, Eval: func(f *Facts) []Finding {
		c := f.Config
		switch {
		case c.AuditErr != "":
			return one(Fail, c.AuditErr, "do not change the files; keep a copy, and find out who did")
		case !c.LastAudit.Known:
			return skip("%s", c.LastAudit.Why)
		}
		return ok("its last record is of %s", date(c.LastAudit.V))
	}},
}
