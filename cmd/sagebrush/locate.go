// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/client"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/server"
)

// defaultListen is where a server listens when nobody says otherwise.
const defaultListen = "127.0.0.1:8080"

var (
	errNoHome     = errors.New("no server was ever started there")
	errNotRunning = errors.New("no server runs")
)

// found is a home's server that has answered.
type found struct {
	home   string
	pid    int
	creds  server.Credentials
	client *client.Client // signs with the root key
}

// locate finds the running server of a home. errNoHome means that none was
// ever started there, errNotRunning that none answers now; the credentials are
// good in the latter case.
//
// The server is asked by a signed request, so that another home's server,
// which has taken the same address since, is not mistaken for this one's.
func locate(ctx context.Context, home string) (found, error) {
	f := found{home: home}
	var err error
	f.creds, err = server.LoadCredentials(home)
	if errors.Is(err, fs.ErrNotExist) {
		return f, errNoHome
	}
	if err != nil {
		return f, err
	}
	running, err := server.FindRunning(home)
	if errors.Is(err, fs.ErrNotExist) {
		return f, errNotRunning
	}
	if err != nil {
		return f, fmt.Errorf("find the server of %s: %w", home, err)
	}
	f.pid = running.PID
	f.client = client.New(client.Options{URL: server.Reachable(running.URL), Key: f.creds.Key(), Region: f.creds.Region})
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, _, err = f.client.CallerIdentity(ctx)
	switch refused := fault.Of(err); {
	case err == nil:
		return f, nil
	case refused != nil && refused.Status == http.StatusForbidden: // the key is not known there
		return f, fmt.Errorf("%w: that of another home answers at %s", errNotRunning, f.client.URL())
	case refused != nil: // it knows the key, whatever else ails it
		return f, nil
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return f, fmt.Errorf("the certificate of the server at %s is not trusted here: name the file of its authority in AWS_CA_BUNDLE (%w)", f.client.URL(), err)
	}
	return f, fmt.Errorf("%w: %w", errNotRunning, err)
}
