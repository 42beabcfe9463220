// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// ExecutionRole is the role that the tools work under. The SageMaker SDK knows
// a role of this name, and that its path is /service-role/, without asking.
const ExecutionRole = "AmazonSageMaker-ExecutionRole"

// MaxSession is the longest session that a role can give.
const MaxSession = 12 * time.Hour

// Role finds a role by its name and returns its ARN. A missing one is a
// *fault.Fault of code NoSuchEntity.
func (c *Client) Role(ctx context.Context, name string) (arn string, err error) {
	var out struct {
		ARN string `xml:"GetRoleResult>Role>Arn"`
	}
	err = c.Query(ctx, IAM, "GetRole", url.Values{"RoleName": {name}}, &out)
	return out.ARN, err
}

// ExecutionRoleARN finds ExecutionRole, which every server makes at its start.
func (c *Client) ExecutionRoleARN(ctx context.Context) (arn string, err error) {
	arn, err = c.Role(ctx, ExecutionRole)
	if f := fault.Of(err); f != nil && f.Code == "NoSuchEntity" {
		return "", fmt.Errorf("role %s was deleted; restart the server, which makes it again: %w", ExecutionRole, err)
	}
	return arn, err
}

// AssumeRole begins a session of a role.
func (c *Client) AssumeRole(ctx context.Context, arn, session string, length time.Duration) (auth.Key, error) {
	var out struct {
		Result struct {
			ID        string    `xml:"Credentials>AccessKeyId"`
			Secret    string    `xml:"Credentials>SecretAccessKey"`
			Token     string    `xml:"Credentials>SessionToken"`
			Expires   time.Time `xml:"Credentials>Expiration"`
			Principal string    `xml:"AssumedRoleUser>Arn"`
			UserID    string    `xml:"AssumedRoleUser>AssumedRoleId"`
		} `xml:"AssumeRoleResult"`
	}
	err := c.Query(ctx, STS, "AssumeRole", url.Values{
		"RoleArn": {arn}, "RoleSessionName": {session},
		"DurationSeconds": {strconv.Itoa(int(length / time.Second))},
	}, &out)
	r := out.Result
	return auth.Key{ID: r.ID, Secret: r.Secret, SessionToken: r.Token, Expires: r.Expires,
		Principal: r.Principal, UserID: r.UserID}, err
}

// CallerIdentity tells whose key the client signs with.
func (c *Client) CallerIdentity(ctx context.Context) (account, arn string, err error) {
	var out struct {
		Account string `xml:"GetCallerIdentityResult>Account"`
		ARN     string `xml:"GetCallerIdentityResult>Arn"`
	}
	err = c.Query(ctx, STS, "GetCallerIdentity", nil, &out)
	return out.Account, out.ARN, err
}
