package kms

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// What the authorizer calls, for tests.
var ResourceConditions = resourceConditions

func GrantFor(k *KMS, tx *service.Tx, key *record.Key, op api.GrantOperation, principals []string, context map[string]string, sourceARN string) (*record.Grant, error) {
	return k.grantFor(tx, key, op, holder{names: principals}, context, sourceARN)
}

func ParentFor(k *KMS, tx *service.Tx, key *record.Key, child *record.Grant, principals []string, sourceARN string) (*record.Grant, error) {
	return k.parentFor(tx, key, child, holder{names: principals}, sourceARN)
}
