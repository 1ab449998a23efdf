package iam

import "github.com/keyturn/keyturn/internal/service"

func (s *IAM) principalPolicyOperations() []*service.Op { return nil }
