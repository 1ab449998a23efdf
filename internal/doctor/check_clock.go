package doctor

import (
	"fmt"
	"time"
)

const (
	aheadOfFiles = 5 * time.Minute     // a file written so much later than now shows a clock that was set back
	longUnused   = 30 * 24 * time.Hour // the server itself asks after so long
	maxClockErr  = time.Second
	maxSkew      = 5 * time.Minute // signatures are refused beyond
	warnSkew     = 30 * time.Second
)

var clockChecks = []Check{
	{ID: "clock-sync", Title: "The clock is synchronized", Eval: func(f *Facts) []Finding {
		const fix = "run chrony, systemd-timesyncd or the time service of the platform"
		switch s := f.Clock.Synchronized; {
		case !s.Known:
			return skip("%s", s.Why)
		case !s.V:
			return one(Warn, "nothing sets the machine's clock", fix+": signatures are refused beyond five minutes, and dates of keys follow it")
		case f.Clock.Error > maxClockErr:
			return one(Warn, fmt.Sprintf("it may be wrong by %s", f.Clock.Error), fix)
		}
		return ok("to %s", f.Clock.Error)
	}},
	{ID: "clock-files", Title: "The clock agrees with what was written last", Needs: Loaded, Eval: func(f *Facts) []Finding {
		newest := f.Config.Store.Newest
		if l := f.Config.LastAudit; l.Known && (!newest.Known || l.V.After(newest.V)) {
			newest = l
		}
		switch {
		case !newest.Known:
			return skip("nothing was written yet, or it cannot be looked at")
		case newest.V.Sub(f.Now) > aheadOfFiles:
			return one(Fail, fmt.Sprintf("it is %s, and the server wrote something on %s", date(f.Now), date(newest.V)),
				"set the clock before the server starts; if it is right, keyturn clock accept afterwards")
		case f.Now.Sub(newest.V) > longUnused:
			return one(Warn, fmt.Sprintf("it is %s, and the server wrote last on %s", date(f.Now), date(newest.V)),
				"look whether the clock is right: if the server was off for so long, it destroys nothing until keyturn clock accept")
		}
		return ok("it wrote last on %s", date(newest.V))
	}},
}
