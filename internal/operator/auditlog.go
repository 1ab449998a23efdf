package operator

import (
	"context"

	"github.com/keyturn/keyturn/internal/service"
)

// NewAuditLog records that the store's audit log was lost, and that another begins with line first.
func (o *Operator) NewAuditLog(ctx context.Context, p *service.Pipeline, first uint64) error {
	_, err := p.DoInternal(ctx, o.began, o.config.Owner, p.Clock().Now(), 0, &first)
	return err
}

func (o *Operator) beginAuditLog() *service.Op {
	return service.Def[uint64, struct{}]{
		Name: "BeginAuditLog", Kind: service.Internal,
		Plan: func(tx *service.Tx, first *uint64, _ []service.Target) (*struct{}, error) {
			e := service.OwnEvent(tx, "BeginAuditLog", o.config.Owner)
			e.ServiceEventDetails.Int("firstLine", int64(*first))
			e.ServiceEventDetails.Str("lost", "all lines before firstLine")
			tx.Event(e)
			return &struct{}{}, nil
		},
	}.Op("keyturn")
}
