package kms

import (
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// maxReplicas bounds the replicas of a multi-Region key: a change of what related keys share is one commit. The largest is to forget
// an imported material that waits for rotation, with up to five writes for each key: the key, the material and its index entry, and two
// index entries of when materials expire.
const maxReplicas = 15

// primary refuses replica keys: what related keys share changes where the primary is.
func primary(k *record.Key) error {
	if k.Primary() {
		return nil
	}
	return api.Errorf(api.UnsupportedOperationException, "%s is a multi-Region replica key: this operation is valid on its primary key only.", k.ARN())
}

// relatedKeys returns the other keys of a multi-Region key, in the order of their regions.
func relatedKeys(tx *service.Tx, k *record.Key) ([]*record.Key, error) {
	if k.MultiRegion == nil {
		return nil, nil
	}
	var list []*record.Key
	for _, region := range append([]string{k.MultiRegion.Primary}, k.MultiRegion.Replicas...) {
		if region == k.Region {
			continue
		}
		other, err := relatedKey(tx, k, region)
		if err != nil {
			return nil, err
		}
		list = append(list, other)
	}
	return list, nil
}

// relatedKey returns the related key in a region, which must be there.
func relatedKey(tx *service.Tx, k *record.Key, region string) (*record.Key, error) {
	other, err := service.Lookup[*record.Key](tx, record.KeyStoreKey(record.Owner{Account: k.Account, Region: region}, k.ID))
	if err == nil && other == nil {
		err = errNoRelated(k.ID + " in " + region)
	}
	return other, err
}

type errNoRelated string

func (e errNoRelated) Error() string {
	return "kms: related multi-Region key " + string(e) + " is missing"
}

// Unwrap implements errors.Unwrap: it may have been deleted since the key that names it was read.
func (errNoRelated) Unwrap() error { return service.ErrTorn }

// putRelated puts a key after a change of what it shares with its related keys, and brings these up to date in the same commit.
func putRelated(tx *service.Tx, k *record.Key) error {
	tx.Put(k)
	others, err := relatedKeys(tx, k)
	if err != nil || len(others) == 0 {
		return err
	}
	for _, other := range others {
		other.MultiRegion = &record.MultiRegion{Primary: k.MultiRegion.Primary, Replicas: slices.Clone(k.MultiRegion.Replicas)}
		other.Rotation, other.OnDemandCount = k.Rotation, k.OnDemandCount
		other.Current, other.CurrentSince, other.Materials = k.Current, k.CurrentSince, k.Materials
		if k.Origin == record.OriginImported && k.Primary() {
			shareImports(k, other)
		}
		tx.Put(other)
	}
	synchronized(tx, k)
	return nil
}

// putGrown puts a key whose own properties may have grown. Those of related keys are rewritten together when they rotate: whoever may
// change one of them must not be able to keep all from it.
func putGrown(tx *service.Tx, k *record.Key) error {
	tx.Put(k)
	others, err := relatedKeys(tx, k)
	if err != nil || len(others) == 0 {
		return err
	}
	size := 0
	for _, r := range append(others, k) {
		encoded, err := record.Encode(r)
		if err != nil {
			return err
		}
		size += len(encoded)
		if k.Origin == record.OriginImported {
			size += roomForImports
		}
	}
	if size > maxRelatedBytes {
		return api.Errorf(api.LimitExceededException,
			"The policies, tags and descriptions of %s and its related multi-Region keys are together longer than this server can keep.", k.ARN())
	}
	return nil
}

// What related keys may take together in their stored form, in bytes: a commit takes 1 MiB. Room is kept for what imported materials
// add to each over the years: 27 entries, of up to 725 bytes with a description that is all line breaks.
const (
	maxRelatedBytes = 1000 << 10
	roomForImports  = 20 << 10
)

// synchronized adds the audit record of a change that went to the related keys of k. As AWS KMS has it ("SynchronizeMultiRegionKey",
// Developer Guide), it is a call of the service's own, in the primary's Region, and names the primary alone.
func synchronized(tx *service.Tx, k *record.Key) {
	region := k.MultiRegion.Primary
	arn := record.KeyARN(record.Owner{Account: k.Account, Region: region}, k.ID)
	event := service.ServiceEvent(tx, "SynchronizeMultiRegionKey", k.Account, region, arn)
	event.EventType, event.RequestID = audit.APICall, tx.Call.RequestID
	event.ResponseElements.Str("keyId", arn)
	tx.Event(event)
}

// shareImports brings a replica's list of imported materials in line with its primary's: which there are, and which of them waits for
// rotation. What is present, and until when, is the replica's own.
func shareImports(from, to *record.Key) {
	var list []record.Import
	for _, i := range from.Imports {
		own := to.Import(i.ID)
		i.Present, i.Expires = own != nil && own.Present, expiresOf(own)
		if own != nil {
			i.Description = own.Description
		}
		list = append(list, i)
	}
	to.Imports = list
	settleImports(to)
}

// withoutRegion removes a region from a sorted list, as a new one.
func withoutRegion(list []string, region string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(r string) bool { return r == region })
}

// withRegion adds a region to a sorted list, as a new one.
func withRegion(list []string, region string) []string {
	list = append(slices.Clone(list), region)
	slices.Sort(list)
	return list
}
