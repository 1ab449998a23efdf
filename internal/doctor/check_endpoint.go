package doctor

import (
	"fmt"
	"time"
)

var endpointChecks = []Check{
	{ID: "endpoint", Title: "The server answers", Needs: Endpoint, Eval: func(f *Facts) []Finding {
		e := f.Endpoint
		switch {
		case e.Err != "":
			return one(Fail, e.URL+": "+e.Err, "is the server running, and is this its address?")
		case e.Health != "":
			return one(Fail, e.URL+"/healthz: "+e.Health, "is this a keyturn server?")
		}
		return ok("%s", e.URL)
	}},
	{ID: "endpoint-ready", Title: "The server is ready", Needs: Endpoint, Eval: reached(func(e *EndpointFacts) []Finding {
		if e.Sealed {
			return one(Fail, e.Ready, "give it what opens the seal: keyturn unseal --endpoint "+e.URL+"; if it waits for a KMS, see to that one")
		}
		if e.Ready != "" {
			return one(Fail, e.Ready, "the server's log says more")
		}
		if e.Note != "" {
			return one(Warn, e.Note, "the server's log says more")
		}
		return ok("/readyz says so")
	})},
	{ID: "endpoint-tls", Title: "Clients accept its certificate", Needs: Endpoint, Eval: func(f *Facts) []Finding {
		e := f.Endpoint
		switch {
		case e.Err != "" && e.TLSErr == "":
			return skip("the server does not answer")
		case !e.TLS:
			return skip("it speaks plain HTTP")
		case e.TLSErr != "":
			return one(Fail, e.TLSErr, "name the authority in AWS_CA_BUNDLE, as clients have to; or have the certificate made for "+e.Host)
		}
		if e.Certificate.Known {
			if soon := expiry(f.Now, &e.Certificate.V); soon[0].Severity != OK {
				return soon
			}
		}
		return ok("%s, %s", e.Host, e.TLSVersion)
	}},
	{ID: "endpoint-clock", Title: "Its clock agrees with this one", Needs: Endpoint, Eval: reached(func(e *EndpointFacts) []Finding {
		if !e.Skew.Known {
			return skip("%s", e.Skew.Why)
		}
		skew := max(e.Skew.V.Abs()-e.Uncertainty, 0)
		text := fmt.Sprintf("they differ by about %s", e.Skew.V.Abs().Round(time.Second))
		switch {
		case skew > maxSkew:
			return one(Fail, text, "set the clocks: signatures from here are refused")
		case skew > warnSkew:
			return one(Warn, text, "set the clocks, by NTP")
		}
		return ok("%s", text)
	})},
	{ID: "endpoint-believed", Title: "The server believes its clock", Needs: Endpoint, Eval: reached(func(e *EndpointFacts) []Finding {
		c := e.Clock
		if !c.Known {
			return skip("%s", c.Why)
		}
		switch c.V.Standing {
		case "", "Trusted":
			return ok("its high-water mark is %s", date(c.V.Mark))
		case "Ahead":
			return one(Fail, "destruction is suspended: the clock jumped forwards from "+date(c.V.Mark), "if the time is right: keyturn clock accept DATE; otherwise set the clock")
		case "Held":
			return one(Fail, "destruction is suspended: the store was restored from a backup", "look at the keys that are pending deletion, then: keyturn clock accept DATE")
		}
		return one(Fail, "nothing becomes due: the clock is before "+date(c.V.Mark), "set the clock; if it is right: keyturn clock accept DATE")
	})},
}

// reached makes a check of a server that answers.
func reached(eval func(*EndpointFacts) []Finding) func(*Facts) []Finding {
	return func(f *Facts) []Finding {
		if f.Endpoint.Err != "" {
			return skip("the server does not answer")
		}
		return eval(f.Endpoint)
	}
}
