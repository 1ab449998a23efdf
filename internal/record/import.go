package record

import "time"

// Import is one imported material of a key: what is known of it whether it is there or not.
type Import struct {
	ID          string    `json:"id"`
	Seq         int       `json:"seq"`
	Description string    `json:"description,omitempty"`
	Present     bool      `json:"present,omitempty"` // false: to be imported (again)
	Expires     time.Time `json:"expires,omitzero"`  // zero: never
	// Pending: it becomes current with the next rotation, and belongs to the key only from then on.
	Pending bool         `json:"pending,omitempty"`
	Rotated time.Time    `json:"rotated,omitzero"` // when it became current by rotation
	How     RotationType `json:"how,omitempty"`    // of that rotation
}

// Import returns the key's imported material of an ID, nil if it has none.
func (k *Key) Import(id string) *Import {
	for i := range k.Imports {
		if k.Imports[i].ID == id {
			return &k.Imports[i]
		}
	}
	return nil
}

// PendingImport returns the imported material that waits for rotation, nil if none does.
func (k *Key) PendingImport() *Import {
	for i := range k.Imports {
		if k.Imports[i].Pending {
			return &k.Imports[i]
		}
	}
	return nil
}

// MaterialMissing tells whether a material that belongs to the key is to be imported: then nothing can be done with it.
func (k *Key) MaterialMissing() bool {
	if k.Origin != OriginImported {
		return false
	}
	for i := range k.Imports {
		if !k.Imports[i].Present && !k.Imports[i].Pending {
			return true
		}
	}
	return len(k.Imports) == 0
}

// Expiry returns when the first of the key's imported materials expires; zero if none does.
func (k *Key) Expiry() time.Time { return k.expiry(true) }

// ValidTo returns when the first of those expires that belong to the key: one that waits for rotation does not yet. Zero if none does.
func (k *Key) ValidTo() time.Time { return k.expiry(false) }

func (k *Key) expiry(pending bool) time.Time {
	var first time.Time
	for _, i := range k.Imports {
		if i.Present && (pending || !i.Pending) && !i.Expires.IsZero() && (first.IsZero() || i.Expires.Before(first)) {
			first = i.Expires
		}
	}
	return first
}
