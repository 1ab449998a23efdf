package check

import "context"

// Source reads the keys of one account in one region through the public API, or as if. Its methods are called from many goroutines. An
// error that the service answered has an ErrorCode, see ErrorCode; a *Key is one that Describe returned.
type Source interface {
	// Keys returns a page of the region's keys, in a fixed order, and the marker of the next page, "" after the last. The first page's
	// marker is "".
	Keys(ctx context.Context, marker string) (page KeyPage, err error)
	Describe(ctx context.Context, id string) (*Key, error)
	Rotation(ctx context.Context, k *Key) (*Rotation, error)
	// Materials returns nil and no error for keys that the service keeps no such list of.
	Materials(ctx context.Context, k *Key) ([]Material, error)
	Aliases(ctx context.Context, k *Key) ([]Alias, error)
	Tags(ctx context.Context, k *Key) (map[string]string, error)
	Policy(ctx context.Context, k *Key) (string, error)
	// Usage returns nil and no error where the service does not tell.
	Usage(ctx context.Context, k *Key) (*Usage, error)
	// In returns the same account's keys in another region.
	In(region string) (Source, error)
}

// AccountSource reads what checks with Settings.WithIAM want beyond keys.
type AccountSource interface {
	// IAM returns the account's principals.
	IAM(ctx context.Context) (*IAMAccount, error)
	// RotationEvents returns a region's RotateKey events of the last 90 days by key ARN, newest first.
	RotationEvents(ctx context.Context, region string) (map[string][]Event, error)
}

// KeyRef names a key, as ListKeys does.
type KeyRef struct{ ID, ARN string }

// KeyPage is a page of a list of keys.
type KeyPage struct {
	Keys []KeyRef
	Next string
}

// limited makes every call of a Source through a limiter.
type limited struct {
	src Source
	l   *Limiter
}

func (s limited) Keys(ctx context.Context, marker string) (KeyPage, error) {
	return do(ctx, s.l, func() (KeyPage, error) { return s.src.Keys(ctx, marker) })
}

func (s limited) Describe(ctx context.Context, id string) (*Key, error) {
	return do(ctx, s.l, func() (*Key, error) { return s.src.Describe(ctx, id) })
}

func (s limited) Rotation(ctx context.Context, k *Key) (*Rotation, error) {
	return do(ctx, s.l, func() (*Rotation, error) { return s.src.Rotation(ctx, k) })
}

func (s limited) Materials(ctx context.Context, k *Key) ([]Material, error) {
	return do(ctx, s.l, func() ([]Material, error) { return s.src.Materials(ctx, k) })
}

func (s limited) Aliases(ctx context.Context, k *Key) ([]Alias, error) {
	return do(ctx, s.l, func() ([]Alias, error) { return s.src.Aliases(ctx, k) })
}

func (s limited) Tags(ctx context.Context, k *Key) (map[string]string, error) {
	return do(ctx, s.l, func() (map[string]string, error) { return s.src.Tags(ctx, k) })
}

func (s limited) Policy(ctx context.Context, k *Key) (string, error) {
	return do(ctx, s.l, func() (string, error) { return s.src.Policy(ctx, k) })
}

func (s limited) Usage(ctx context.Context, k *Key) (*Usage, error) {
	return do(ctx, s.l, func() (*Usage, error) { return s.src.Usage(ctx, k) })
}

func (s limited) In(region string) (Source, error) {
	src, err := s.src.In(region)
	return limited{src, s.l}, err
}
