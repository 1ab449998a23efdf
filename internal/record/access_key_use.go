package record

import "time"

// accessKeyUsePrecision is how exactly the last use of an access key is known, so that a key in constant use costs a write a minute.
const accessKeyUsePrecision = time.Minute

// OfKey is where the access key stands that was used.
func (u *AccessKeyUse) OfKey() string { return AccessKeyStoreKey(u.ID) }

// After returns the use if it is later than what the store has, by a minute that is another; nil if that is nothing.
func (u *AccessKeyUse) After(old Record) Record {
	next := *u
	if o, ok := old.(*AccessKeyUse); ok {
		if !u.At.Truncate(accessKeyUsePrecision).After(o.At.Truncate(accessKeyUsePrecision)) {
			return nil
		}
		next.By = o.By
	}
	return &next
}
