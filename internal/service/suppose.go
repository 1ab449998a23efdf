package service

// Suppose returns the question that an authorizer would be asked if a caller wanted to do t.Action to t in the Region of tx, now. Nothing is
// known of its connection. cond and context are what its request would have, as Def has them; cond is asked first, also for keys that the
// target or the caller has, and makes one absent by saying that it is present without values. The question reads through the cache and
// writes nothing; whoever asks it looks at its Tx.Failed afterwards.
func Suppose(tx *Tx, caller *Caller, t *Target, cond func(key string) ([]string, bool), context map[string]string) *Authorization {
	call := &Call{Caller: caller, Region: tx.Call.Region, Now: tx.Now}
	return &Authorization{
		Tx:     &Tx{Call: call, Now: tx.Now, Targets: []Target{*t}, ctx: tx.ctx, p: tx.p},
		Target: t, values: supposed{cond, context},
	}
}

// supposed is what a request would have that nobody made.
type supposed struct {
	of        func(key string) ([]string, bool)
	encrypted map[string]string
}

func (s supposed) cond(_ *Tx, _ any, _ *Target, key string) ([]string, bool) { return s.of(key) }

func (s supposed) context(any, *Target) map[string]string { return s.encrypted }
