// SPDX-License-Identifier: Apache-2.0

// Package auth tells who calls and whether they may: AWS signature version 4,
// access keys, sessions.
package auth

import (
	"context"
	"time"
)

// Caller is who signed a request.
type Caller struct {
	Account   string // 12 digits
	Region    string // of the credential scope, "us-east-1"
	Principal string // ARN: arn:aws:iam::123456789012:root, …:user/x, arn:aws:sts::…:assumed-role/r/s
	UserID    string // AIDA…, AROA…:session, or the account for root
	AccessKey string
	RequestID string
}

type callerKey struct{}

// WithCaller puts c into ctx.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom is the caller in ctx; the zero Caller when there is none.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// Key is a secret and whose it is.
type Key struct {
	ID           string // AKIA… long-lived, ASIA… of a session
	Secret       string
	SessionToken string    // must match the request's X-Amz-Security-Token; "" for long-lived keys
	Expires      time.Time // zero: never
	Account      string
	Principal    string
	UserID       string
}

// Keys finds a key by its ID. A missing key is (Key{}, false, nil).
// It is called for each request and must be fast.
type Keys interface {
	Lookup(ctx context.Context, id string) (Key, bool, error)
}
