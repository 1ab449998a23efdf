package iam

import "github.com/keyturn/keyturn/internal/service"

func (s *IAM) groupOperations() []*service.Op { return nil }
