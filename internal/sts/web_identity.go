package sts

import "github.com/keyturn/keyturn/internal/service"

func (s *STS) webIdentityOperations() []*service.Op { return nil }
