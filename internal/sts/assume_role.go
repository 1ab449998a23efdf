package sts

import "github.com/keyturn/keyturn/internal/service"

func (s *STS) assumeRoleOperations() []*service.Op { return nil }
