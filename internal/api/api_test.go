package api

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func TestErrors(t *testing.T) {
	for code, want := range map[ErrorCode]int{
		NotFoundException: 400, KMSInternalException: 500, DependencyTimeoutException: 500, KeyUnavailableException: 500,
		ValidationException: 400, ThrottlingException: 400, "Other": 500, "": 500,
	} {
		if got := code.Status(); got != want {
			t.Errorf("%s: status %d, want %d", code, got, want)
		}
	}
	if got := New(InvalidCiphertextException).Error(); got != "InvalidCiphertextException" {
		t.Errorf("got %q", got)
	}
	err := fmt.Errorf("deep: %w", Errorf(NotFoundException, "Alias %s is not found.", "a"))
	var e *Error
	if !errors.As(err, &e) || e.Error() != "NotFoundException: Alias a is not found." {
		t.Errorf("got %v", e)
	}
}

func TestOperations(t *testing.T) {
	for _, list := range [][]Operation{KMSOperations(), KeyturnOperations(), STSOperations()} {
		for i, op := range list {
			if i > 0 && list[i-1].Name >= op.Name {
				t.Errorf("%s is not sorted", op.Name)
			}
		}
	}
	ops := KMSOperations()
	ops[0].Errors[0] = "changed"
	if KMSOperations()[0].Errors[0] == "changed" {
		t.Error("the slices are not fresh")
	}
	for _, op := range KMSOperations() {
		if op.Name == "ReEncrypt" {
			if op.Target != "TrentService.ReEncrypt" || !op.CrossAccount || len(op.Permissions) != 2 ||
				!bytes.Contains(fmt.Append(nil, op.Identifiers), []byte("SourceKeyId:[keyId keyArn aliasName aliasArn]")) {
				t.Errorf("got %+v", op)
			}
		}
	}
}
