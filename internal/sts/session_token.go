package sts

import "github.com/keyturn/keyturn/internal/service"

func (s *STS) sessionTokenOperations() []*service.Op { return nil }
