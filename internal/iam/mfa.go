package iam

import "github.com/keyturn/keyturn/internal/service"

func (s *IAM) mfaOperations() []*service.Op { return nil }
