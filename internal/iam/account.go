package iam

import "github.com/keyturn/keyturn/internal/service"

func (s *IAM) accountOperations() []*service.Op { return nil }
