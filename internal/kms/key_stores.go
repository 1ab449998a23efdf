package kms

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// putInKeyStore makes a key in a custom key store.
func (k *KMS) putInKeyStore(*service.Tx, *record.Key) error {
	return api.Errorf(api.UnsupportedOperationException, "Custom key stores are not available on this server.")
}

// tokenRandom draws random bytes in a custom key store.
func (k *KMS) tokenRandom(*service.Tx, string, int) ([]byte, error) {
	return nil, api.Errorf(api.UnsupportedOperationException, "Custom key stores are not available on this server.")
}
