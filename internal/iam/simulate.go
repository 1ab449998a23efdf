package iam

import "github.com/keyturn/keyturn/internal/service"

func (s *IAM) simulateOperations() []*service.Op { return nil }
