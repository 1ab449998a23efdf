package iam

import "github.com/keyturn/keyturn/internal/service"

func (s *IAM) oidcOperations() []*service.Op { return nil }
