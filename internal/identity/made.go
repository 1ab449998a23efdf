package identity

import (
	"context"

	"github.com/keyturn/keyturn/internal/record"
)

// untaken is the account of keyturn dev, which AWS gives to nobody: an access key ID that it stands in is of keyturn's making.
const untaken = "000000000000"

// Made tells whether credentials were made here, whatever they are worth by now: a key that was deactivated, or the session of a role that
// is gone, must not be taken for one that nobody ever heard of where those are trusted. Of an access key that was deleted nothing is left
// but its ID, which tells in keyturn dev's own account only.
func (d *Directory) Made(ctx context.Context, accessKeyID, sessionToken string) bool {
	if _, ok := d.config.Configured[accessKeyID]; ok || AccountOf(accessKeyID) == untaken {
		return true
	}
	if sessionToken != "" {
		_, err := openSession(d.records.Keyring(), sessionToken)
		return err == nil
	}
	r, err := d.records.Record(ctx, record.AccessKeyStoreKey(accessKeyID))
	return err != nil || r != nil
}
