package iam

import "github.com/keyturn/keyturn/internal/service"

func (s *IAM) policyOperations() []*service.Op { return nil }
