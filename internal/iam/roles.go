package iam

import "github.com/keyturn/keyturn/internal/service"

func (s *IAM) roleOperations() []*service.Op { return nil }
