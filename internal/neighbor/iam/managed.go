// SPDX-License-Identifier: Apache-2.0

package iam

import (
	_ "embed" // for the longest of the documents
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
)

const (
	managedPrefix = "arn:aws:iam::aws:policy/"
	fullAccess    = "AmazonSageMakerFullAccess"
)

// managedEntry is a policy of AWS's own that is known here. Its document is
// ours: what the policy is for, in the actions of the services that this server
// has. That of AmazonSageMakerFullAccess reaches as far as AWS's does, since
// clients ask what it allows, so that a role which lacks something lacks it here
// too.
type managedEntry struct {
	path, name string
	effect     string // the statement's actions, all on every resource
	document   string // instead of effect
}

//go:embed fullaccess.json
var fullAccessDocument string

func (m managedEntry) arn() string { return strings.TrimSuffix(managedPrefix, "/") + m.path + m.name }

var managed = []managedEntry{
	{"/", "AdministratorAccess", `"*"`, ""},
	{"/", "AmazonEC2ContainerRegistryFullAccess", `"ecr:*"`, ""},
	{"/", "AmazonEC2ContainerRegistryReadOnly", `["ecr:BatchGetImage","ecr:DescribeImages","ecr:DescribeRepositories","ecr:GetAuthorizationToken"]`, ""},
	{"/", "AmazonS3FullAccess", `"s3:*"`, ""},
	{"/", "AmazonS3ReadOnlyAccess", `["s3:Get*","s3:List*"]`, ""},
	{"/", "AmazonSageMakerFeatureStoreAccess", `["s3:GetBucketAcl","s3:GetObject","s3:PutObject","s3:PutObjectAcl"]`, ""},
	{"/", fullAccess, "", fullAccessDocument},
	{"/", "AmazonSageMakerReadOnly", `["sagemaker:Describe*","sagemaker:Get*","sagemaker:List*","sagemaker:Search"]`, ""},
	{"/", "CloudWatchFullAccess", `["cloudwatch:*","logs:*"]`, ""},
	{"/", "CloudWatchLogsFullAccess", `"logs:*"`, ""},
	{"/", "IAMFullAccess", `"iam:*"`, ""},
	{"/", "PowerUserAccess", `["cloudwatch:*","ecr:*","logs:*","s3:*","sagemaker:*","sts:*"]`, ""},
	{"/service-role/", "AmazonSageMakerServicecatalogProductsUseRole", `["sagemaker:*","s3:*","logs:*"]`, ""},
}

// managedSince is the date that these policies show: any would do.
var managedSince = time.Date(2017, 11, 29, 0, 0, 0, 0, time.UTC)

// managedPolicy finds a policy of AWS's own and its document.
func managedPolicy(arn string) (wiam.Policy, string, bool) {
	for _, m := range managed {
		if m.arn() != arn {
			continue
		}
		// The ID is the name's, so that it is the same on every server.
		id := strings.ToUpper(strings.Map(func(c rune) rune {
			if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
				return c
			}
			return -1
		}, m.name))
		id = "ANPA" + (id + strings.Repeat("A", 17))[:17]
		at := wire.At(managedSince)
		text := m.document
		if text == "" {
			text = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` + m.effect + `,"Resource":"*"}]}`
		}
		return wiam.Policy{PolicyName: m.name, PolicyId: id, Arn: arn, Path: m.path, DefaultVersionId: firstVersion, IsAttachable: new(true),
			CreateDate: at, UpdateDate: at}, text, true
	}
	return wiam.Policy{}, "", false
}
