// SPDX-License-Identifier: Apache-2.0

// Package proxy lets code that names AWS's own hosts run against this server.
// It is a forward proxy: it ends the TLS of every host under AWS's domains
// with certificates of a CA of its own, and hands the requests to the server;
// all other hosts it passes through unseen. A child process is pointed at it
// by the environment that Env gives, which is what `sagebrush run` does.
package proxy

import (
	"net"
	"strings"
)

// domains are those under which AWS's APIs are: the two partitions' own, and
// their dual-stack ones. The CA can sign for no others.
var domains = []string{"amazonaws.com", "amazonaws.com.cn", "api.aws", "api.amazonwebservices.com.cn"}

// hostname is a host as it is compared: without port, lower case, without
// the root's dot.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// cut takes AWS's domain off a host; false when it is not under one.
func cut(host string) (labels []string, domain string, ok bool) {
	host = hostname(host)
	for _, d := range domains {
		if head, ok := strings.CutSuffix(host, d); ok {
			if head == "" {
				return nil, d, true
			}
			if strings.HasSuffix(head, ".") {
				return strings.Split(strings.TrimSuffix(head, "."), "."), d, true
			}
		}
	}
	return nil, "", false
}

// IsAWS reports whether a host, with or without a port, is under one of AWS's
// domains. Such a host is answered here and never connected to.
func IsAWS(host string) bool {
	_, _, ok := cut(host)
	return ok
}

// SplitS3Host reads the bucket out of a host of S3: "data" and "us-east-1"
// from data.s3.us-east-1.amazonaws.com. A bucket's name may hold dots. The
// bucket is "" when the host is S3's alone and the path begins with it
// instead. False when the host is not of S3.
func SplitS3Host(host string) (bucket, region string, ok bool) {
	labels, domain, ok := cut(host)
	if !ok || len(labels) == 0 {
		return "", "", false
	}
	// From the right, as buckets may be named like any of what follows.
	at := len(labels) - 1
	if isRegion(labels[at]) && at > 0 {
		region = labels[at]
		at--
		if labels[at] == "dualstack" && at > 0 {
			at--
		}
	}
	switch name := labels[at]; {
	case name == "s3", name == "s3-fips", strings.HasPrefix(name, "s3express-"):
	case region == "" && strings.HasPrefix(name, "s3-") && isRegion(name[len("s3-"):]):
		region = name[len("s3-"):] // s3-us-west-2.amazonaws.com, of old
	case region == "" && (name == "s3-external-1" || name == "s3-accelerate"):
	default:
		return "", "", false
	}
	if region == "" {
		region = home(domain)
	}
	return strings.Join(labels[:at], "."), region, true
}

// ServiceOfHost tells which service and region a host of AWS stands for. The
// service is named as boto3 names its endpoint or client:
//
//	api.sagemaker.us-east-1.amazonaws.com      sagemaker
//	runtime.sagemaker.us-east-1.amazonaws.com  sagemaker-runtime
//	metrics.sagemaker.us-east-1.amazonaws.com  sagemaker-metrics, and so on
//	api.ecr.us-east-1.amazonaws.com            ecr
//	1234….dkr.ecr.us-east-1.amazonaws.com      dkr.ecr, the registry itself
//	sts.amazonaws.com                          sts, in us-east-1
//
// All of S3's hosts are s3. False when the host is not AWS's.
func ServiceOfHost(host string) (service, region string, ok bool) {
	if _, region, ok := SplitS3Host(host); ok {
		return "s3", region, true
	}
	labels, domain, ok := cut(host)
	if !ok || len(labels) == 0 {
		return "", "", false
	}
	region = home(domain)
	if last := labels[len(labels)-1]; len(labels) > 1 && (isRegion(last) || last == "global") {
		labels = labels[:len(labels)-1]
		if last != "global" {
			region = last
		}
	}
	service = strings.TrimSuffix(labels[len(labels)-1], "-fips")
	if len(labels) == 1 {
		return service, region, true
	}
	switch part := strings.TrimSuffix(labels[len(labels)-2], "-fips"); {
	case part == "api":
	case service == "sagemaker":
		service += "-" + part
	case service == "ecr" && part == "dkr":
		service = "dkr.ecr"
	}
	return service, region, true
}

// home is the region of a partition's hosts that name none.
func home(domain string) string {
	if strings.HasSuffix(domain, ".cn") {
		return "cn-north-1"
	}
	return "us-east-1"
}

// isRegion reports whether a label has a region's form: us-east-1,
// us-gov-west-1, ap-southeast-2.
func isRegion(label string) bool {
	parts := strings.Split(label, "-")
	if len(parts) < 3 || len(parts[0]) != 2 {
		return false
	}
	for i, p := range parts {
		low, high := byte('a'), byte('z')
		if i == len(parts)-1 {
			low, high = '0', '9'
		}
		if p == "" || strings.ContainsFunc(p, func(c rune) bool { return c < rune(low) || c > rune(high) }) {
			return false
		}
	}
	return true
}
