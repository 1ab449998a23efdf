package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/keyturn/keyturn/internal/record"
)

// regions is the configured list of regions; a signature's scope must name one.
type regions struct {
	first string
	names []string // sorted
	all   map[string]bool
	home  string // the partition in which there are IAM and STS, see inHome; "" for every one
}

func (r regions) has(name string) bool { return r.all[name] }

// apiServices are the services that signatures may be for.
var apiServices = []string{"kms", "sts", "iam"}

// globalRegions are what clients sign requests to IAM for, one a partition ("AWS Identity and Access Management endpoints and quotas", AWS
// General Reference).
var globalRegions = []string{"us-east-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"}

// signs tells whether a signature for a service may name the region. IAM is one for all regions, so the name that clients have for its
// home does too.
func (r regions) signs(service, region string) bool {
	switch service {
	case "iam":
		return r.inHome(record.Partition(region)) && (r.has(region) || slices.Contains(globalRegions, region))
	case "sts":
		return r.inHome(record.Partition(region)) && r.has(region)
	}
	return r.has(region)
}

// inHome tells whether there are IAM and STS in a partition. Users, roles and policies are the same in all of them, while their ARNs are not:
// whoever could choose the partition would step around a Deny that names them as they are called at home.
func (r regions) inHome(partition string) bool { return r.home == "" || partition == r.home }

var regionPattern = regexp.MustCompile(`^([a-z]+-){2,3}\d+$`)

// newRegions returns the list, by default of every public AWS region: then, as keyturn dev has it, every partition is a home. Otherwise that of
// the first is.
func newRegions(names []string) (regions, error) {
	home := ""
	if len(names) == 0 {
		names = awsRegions
	} else {
		home = record.Partition(names[0])
	}
	r := regions{first: names[0], all: make(map[string]bool, len(names)), home: home}
	for _, n := range names {
		if !regionPattern.MatchString(n) || len(n) > 32 {
			return regions{}, fmt.Errorf("%q is no region name; one looks like %s", n, awsRegions[0])
		}
		r.all[n] = true
	}
	r.names = slices.Sorted(maps.Keys(r.all))
	return r, nil
}

// awsRegions are the regions of AWS's partitions that are open to the public.
var awsRegions = []string{
	"us-east-1", "us-east-2", "us-west-1", "us-west-2", "af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2",
	"ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4",
	"ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2", "eu-north-1",
	"eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "il-central-1", "me-central-1", "me-south-1", "mx-central-1",
	"sa-east-1", "cn-north-1", "cn-northwest-1", "us-gov-east-1", "us-gov-west-1", "eusc-de-east-1",
}
