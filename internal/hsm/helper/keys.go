package helper

import (
	"errors"
	"sync"

	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// LabelPrefix comes before the ID in a key's CKA_LABEL.
const LabelPrefix = "keyturn:"

// maxCached bounds the cache of handles; when it is full, it starts anew.
const maxCached = 4096

// cached is what is remembered of a key.
type cached struct {
	object Object
	sample *sample // nil until there was need of one
}

// cache remembers handles by key ID.
type cache struct {
	mu   sync.Mutex
	keys map[string]cached
}

func (c *cache) get(id string) (cached, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.keys[id]
	return k, ok
}

func (c *cache) put(id string, k cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxCached {
		c.keys = map[string]cached{}
	}
	c.keys[id] = k
}

func (c *cache) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.keys, id)
}

func (c *cache) dropAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = nil
}

// checkAttributes refuses a handle that is not, or no longer, that of a key as GenerateKey makes them.
func (t *Token) checkAttributes(s Session, o Object, id string) error {
	a, err := t.m.Attributes(s, o)
	if err != nil {
		return err
	}
	if string(a.ID) != id {
		return &Error{"C_GetAttributeValue", ObjectHandleInvalid} // the token gave the handle to another key
	}
	if a.Extractable || !a.Sensitive {
		return failure{hsmwire.StatusFailed, "the key could be taken out of the token"}
	}
	return nil
}

// find looks a key up on the token, not in the cache.
func (t *Token) find(s Session, id string) (Object, error) {
	objects, err := t.m.Find(s, LabelPrefix+id, id, 2)
	if err != nil {
		return 0, err
	}
	switch len(objects) {
	case 0:
		// Without login the token shows no keys at all.
		if in, err := t.m.LoggedIn(s); err != nil {
			return 0, err
		} else if !in {
			return 0, errNotLoggedIn
		}
		return 0, errKeyNotFound
	case 1:
		return objects[0], t.checkAttributes(s, objects[0], id)
	default:
		return 0, failure{hsmwire.StatusFailed, "several keys on the token have this ID"}
	}
}

// withKey runs f with a key, whose handle may come from the cache; fresh tells that it does not. When the token does not know
// the handle, the key is looked up and f runs once more.
func (t *Token) withKey(s Session, id string, f func(k cached, fresh bool) error) error {
	if k, ok := t.keys.get(id); ok {
		err := f(k, false)
		if !isCKR(err, ObjectHandleInvalid, KeyHandleInvalid) {
			return err
		}
		t.keys.drop(id)
	}
	o, err := t.find(s, id)
	if err != nil {
		return err
	}
	k := cached{object: o}
	t.keys.put(id, k)
	return f(k, true)
}

// generateKey makes a key unless one with this ID exists. Two keyturns that make the same key at the same time may both be
// refused; there are never two keys left.
func (t *Token) generateKey(s Session, id string) error {
	t.making.Lock()
	defer t.making.Unlock()
	if _, err := t.find(s, id); err == nil {
		return errKeyExists
	} else if !errors.Is(err, errKeyNotFound) {
		return err
	}
	object, err := t.m.GenerateKey(s, LabelPrefix+id, id)
	if err != nil {
		return err
	}
	if err := t.checkMade(s, id, object); err != nil {
		if destroyErr := t.m.DestroyKey(s, object); destroyErr != nil {
			// StatusDevice, whatever the error was: it is not known whether there is a key, and the request must not be run again.
			return failure{hsmwire.StatusDevice, err.Error() + ", and then " + destroyErr.Error()}
		}
		return err
	}
	t.keys.put(id, cached{object: object})
	return nil
}

// checkMade checks that a key just made is the only one with its ID, and as it should be.
func (t *Token) checkMade(s Session, id string, object Object) error {
	objects, err := t.m.Find(s, LabelPrefix+id, id, 2)
	if err != nil {
		return err
	}
	if len(objects) != 1 {
		return errKeyExists
	}
	return t.checkAttributes(s, object, id)
}

// destroyKey destroys a key, found by its ID and not by a remembered handle.
func (t *Token) destroyKey(s Session, id string) error {
	t.keys.drop(id)
	o, err := t.find(s, id)
	if err != nil {
		return err
	}
	defer t.keys.drop(id) // what another request has put there meanwhile
	return t.m.DestroyKey(s, o)
}

// hasKey looks on the token, not in the cache.
func (t *Token) hasKey(s Session, id string) (bool, error) {
	_, err := t.find(s, id)
	if errors.Is(err, errKeyNotFound) {
		return false, nil
	}
	return err == nil, err
}
