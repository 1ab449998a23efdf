package doctor

import (
	"net"
	"strings"
)

var configChecks = []Check{
	{ID: "config", Title: "The configuration loads", Needs: Config, Eval: func(f *Facts) []Finding {
		c := f.Config
		var out []Finding
		for _, p := range c.Problems {
			out = append(out, Finding{Fail, p, "mend the configuration; docs/server.md has every section"})
		}
		for _, p := range c.Unread {
			out = append(out, Finding{Skip, p, asOwner(f)})
		}
		return or(out, "%s", c.Path)
	}},
	{ID: "config-environment", Title: "Variables that the configuration names are set", Needs: Loaded, Eval: func(f *Facts) []Finding {
		var out []Finding
		for _, v := range f.Config.Variables {
			if !v.Set {
				out = append(out, Finding{Warn, v.Name + " is not set here", "make sure that the server has it: the environment of a service is its own"})
			}
		}
		if len(f.Config.Strangers) > 0 {
			out = append(out, Finding{Warn, "nothing reads " + strings.Join(f.Config.Strangers, ", "), "correct the name, or take it out of the environment"})
		}
		return or(out, "nothing is missing")
	}},
	{ID: "listen", Title: "The address can be listened on", Needs: Loaded, Eval: checkListen},
}

func checkListen(f *Facts) []Finding {
	c := f.Config
	running := c.Store.Holder.Known && c.Store.Holder.V != 0 || c.Store.Locked
	switch c.ListenErr {
	case ListenFree:
		return ok("%s is free", c.Listen)
	case ListenBusy:
		if running {
			return ok("%s is in use, and a server runs on the data directory", c.Listen)
		}
		return one(Fail, "another program listens on "+c.Listen, "stop it, or choose another address in listen")
	case ListenForbidden:
		return one(Warn, "this user may not listen on "+c.Listen, "take a port from 1024 on, or give the service CAP_NET_BIND_SERVICE")
	case ListenForeign:
		host, _, _ := net.SplitHostPort(c.Listen)
		return one(Fail, host+" is no address of this machine", "correct listen, or use 0.0.0.0")
	}
	return one(Fail, c.Listen+" cannot be listened on", "correct listen")
}
