// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
)

// DefaultHome is where a server keeps its state when nobody says otherwise:
// $SAGEBRUSH_HOME, or .sagebrush in the user's home directory.
func DefaultHome() string {
	if h := os.Getenv("SAGEBRUSH_HOME"); h != "" {
		return h
	}
	if h, err := os.UserHomeDir(); err == nil {
		return filepath.Join(h, ".sagebrush")
	}
	return ".sagebrush"
}

// Credentials are the root access key of a home, and what goes with it.
type Credentials struct {
	Account   string `json:"account"` // 12 digits
	Region    string `json:"region"`
	AccessKey string `json:"accessKeyId"`
	SecretKey string `json:"secretAccessKey"`
}

// Key is the root key as auth knows it.
func (c Credentials) Key() auth.Key {
	return auth.Key{ID: c.AccessKey, Secret: c.SecretKey, Account: c.Account, UserID: c.Account,
		Principal: "arn:aws:iam::" + c.Account + ":root"}
}

const credentialsFile = "credentials.json"

// DefaultAccount is the account of AWS's own documentation, which many
// tutorials have in their role ARNs.
const DefaultAccount = "123456789012"

// LoadCredentials reads a home's credentials.
func LoadCredentials(home string) (Credentials, error) {
	var c Credentials
	b, err := os.ReadFile(filepath.Join(home, credentialsFile))
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("read %s: %w", filepath.Join(home, credentialsFile), err)
	}
	return c, nil
}

// EnsureCredentials reads a home's credentials, or makes them at the first
// start: readable by the owner only, written whole or not at all.
func EnsureCredentials(home, account, region string) (Credentials, error) {
	c, err := LoadCredentials(home)
	if !errors.Is(err, os.ErrNotExist) {
		return c, err
	}
	c = Credentials{Account: account, Region: region, AccessKey: auth.NewKeyID(auth.LongLived), SecretKey: auth.NewSecret()}
	if c.Account == "" {
		c.Account = DefaultAccount
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	return c, writeFile(filepath.Join(home, credentialsFile), c)
}

func writeFile(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// Running tells where a home's server listens.
type Running struct {
	PID int    `json:"pid"`
	URL string `json:"url"` // "http://127.0.0.1:8080"
}

const runningFile = "server.json"

// FindRunning reads what a home's server wrote when it began to listen. It
// does not ask whether the server still lives: see /healthz.
func FindRunning(home string) (Running, error) {
	var r Running
	b, err := os.ReadFile(filepath.Join(home, runningFile))
	if err != nil {
		return r, err
	}
	err = json.Unmarshal(b, &r)
	return r, err
}
