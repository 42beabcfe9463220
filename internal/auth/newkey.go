// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/rand"
	"encoding/base64"
)

// The prefixes of access key IDs, which clients tell the kinds apart by.
const (
	LongLived = "AKIA" // a user's or the account's
	Session   = "ASIA" // of a role's session; goes with a token
)

// NewKeyID makes an access key ID: prefix and 16 characters of base 32, 80
// random bits. It is not secret.
func NewKeyID(prefix string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	var b [16]byte
	rand.Read(b[:]) // never fails: the program ends first
	for i, c := range b {
		b[i] = letters[c&31]
	}
	return prefix + string(b[:])
}

// NewSecret makes a secret access key: 40 characters of base 64, 240 random
// bits.
func NewSecret() string {
	var b [30]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// NewSessionToken makes a session token, 384 random bits. It holds nothing:
// the session is found by its key's ID. It begins as those of AWS do, since
// scanners for leaked secrets look for that.
func NewSessionToken() string {
	var b [48]byte
	rand.Read(b[:])
	return "IQoJb3JpZ2luX2Vj" + base64.StdEncoding.EncodeToString(b[:])
}
