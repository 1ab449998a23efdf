package kms

// ResourceConditions is resourceConditions for tests.
var ResourceConditions = resourceConditions
