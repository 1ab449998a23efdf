package iam

import "github.com/keyturn/keyturn/internal/service"

func (s *IAM) accessKeyOperations() []*service.Op { return nil }
