package kms

import (
	"strings"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// managedServices have an AWS managed key, alias/aws/NAME, made when it is first named.
var managedServices = map[string]bool{
	"acm": true, "backup": true, "cloudtrail": true, "codebuild": true, "dms": true, "dynamodb": true, "ebs": true,
	"elasticfilesystem": true, "es": true, "fsx": true, "glue": true, "kafka": true, "kinesis": true, "kinesisvideo": true,
	"lambda": true, "lightsail": true, "rds": true, "redshift": true, "s3": true, "secretsmanager": true, "sns": true,
	"sqs": true, "ssm": true, "workspaces": true, "xray": true,
}

type managedKeyRequest struct{ Alias string }

// createManagedKey makes the AWS managed key of a service, in the account and region of the call.
func (k *KMS) createManagedKey() *service.Op {
	return service.Def[managedKeyRequest, service.None]{
		Name: "CreateKey", Kind: service.Internal,
		Actions: []string{"kms:CreateKey"},
		Audit:   func(q *managedKeyRequest, p *audit.Params) { p.Str("aliasName", q.Alias) },
		Plan: func(tx *service.Tx, q *managedKeyRequest, _ []service.Target) (*service.None, error) {
			owner := callOwner(tx)
			alias, err := lookupAlias(tx, owner, q.Alias)
			if err != nil || alias != nil {
				return &service.None{}, err // somebody else was faster
			}
			name := strings.TrimPrefix(q.Alias, awsAliasPrefix)
			key := &record.Key{
				Owner: owner, ID: keys.NewKeyID().String(), Created: tx.Now, Spec: symmetricSpec, Usage: keys.EncryptDecrypt, Origin: record.OriginKMS,
				Manager: record.AWS, State: record.Enabled, JitterSeconds: k.jitter(),
				Description: "Default key that protects my " + name + " data when no other key is defined",
			}
			startRotation(key, tx.Now, managedRotationDays)
			if err := putNewKey(tx, key); err != nil {
				return nil, err
			}
			tx.Put(&record.Alias{Owner: owner, Name: q.Alias, KeyID: key.ID, Created: tx.Now, Updated: tx.Now})
			return &service.None{}, nil
		},
	}.Op("kms")
}

// putNewKey writes a key with its first material.
func putNewKey(tx *service.Tx, key *record.Key) error {
	if _, err := service.Lookup[*record.Key](tx, key.StoreKey()); err != nil {
		return err
	}
	secret, err := service.Once(tx, "material", keys.SpecByName(key.Spec).NewMaterial)
	if err != nil {
		return err
	}
	if err := addMaterial(tx, key, "", tx.Now, secret); err != nil {
		return err
	}
	tx.Put(key)
	return nil
}
