package kms

// What the authorizer calls, for tests.
var (
	ResourceConditions = resourceConditions
	GrantFor           = (*KMS).grantFor
	ParentFor          = (*KMS).parentFor
)
