// SPDX-License-Identifier: Apache-2.0

// Package arn reads and writes Amazon Resource Names.
package arn

import (
	"fmt"
	"strings"
)

// ARN is arn:partition:service:region:account:resource.
type ARN struct {
	Partition, Service, Region, Account string
	Resource                            string // "training-job/churn-7"
}

// String is the ARN's text.
func (a ARN) String() string {
	p := a.Partition
	if p == "" {
		p = "aws"
	}
	return "arn:" + p + ":" + a.Service + ":" + a.Region + ":" + a.Account + ":" + a.Resource
}

// Parse reads an ARN; an error names the text.
func Parse(s string) (ARN, error) {
	p := strings.SplitN(s, ":", 6)
	if len(p) != 6 || p[0] != "arn" || p[2] == "" || p[5] == "" {
		return ARN{}, fmt.Errorf("%q is not an ARN", s)
	}
	return ARN{Partition: p[1], Service: p[2], Region: p[3], Account: p[4], Resource: p[5]}, nil
}

// SageMaker is arn:aws:sagemaker:region:account:kind/name. The name keeps its
// case; the store compares ARNs without regard to it, since the service has
// lower-cased names at times.
func SageMaker(region, account, kind, name string) string {
	return ARN{Service: "sagemaker", Region: region, Account: account, Resource: kind + "/" + name}.String()
}

// Name is the last part of the resource, after the last slash.
func (a ARN) Name() string { return a.Resource[strings.LastIndexByte(a.Resource, '/')+1:] }
