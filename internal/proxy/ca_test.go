// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func newCA(t *testing.T) *CA {
	t.Helper()
	ca, err := LoadOrCreateCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// trust is a pool of one.
func trust(ca *CA) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

func TestCAIsStable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	var wg sync.WaitGroup
	all := make([]*CA, 8)
	for i := range all {
		wg.Go(func() { all[i], _ = LoadOrCreateCA(dir) })
	}
	wg.Wait()
	for _, ca := range all {
		if ca == nil || !ca.cert.Equal(all[0].cert) || !ca.key.Equal(all[0].key) {
			t.Fatal("two that came at once have two CAs")
		}
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode: %v, %v", info, err)
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 2 {
		t.Errorf("files left: %v", files)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, certFile)); !bytes.Equal(text, all[0].PEM()) {
		t.Error("ca.pem is not the CA's certificate")
	}
	if life := time.Until(all[0].cert.NotAfter); life < caLife-time.Hour {
		t.Errorf("it lives %v", life)
	}
}

func TestCAThatIsUnreadableIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, keyFile)
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateCA(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "garbage" {
		t.Error("it was overwritten")
	}
}

func TestLeaf(t *testing.T) {
	ca := newCA(t)
	long := strings.Repeat("a", 63) + ".s3.us-east-1.amazonaws.com"
	for _, host := range []string{"sts.us-east-1.amazonaws.com", "api.sagemaker.cn-north-1.amazonaws.com.cn", "logs.us-east-1.api.aws", long} {
		leaf, err := ca.Leaf(host)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: trust(ca), DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if again, _ := ca.Leaf(strings.ToUpper(host) + ":443"); again != leaf {
			t.Errorf("%s: a second certificate was made", host)
		}
	}
	for _, host := range []string{"example.com", "amazonaws.com.evil.com", "127.0.0.1", ""} {
		if _, err := ca.Leaf(host); err == nil {
			t.Errorf("%q got a certificate", host)
		}
	}
}

// A CA that was stolen must be good for nothing but AWS's hosts.
func TestNameConstraintsHold(t *testing.T) {
	ca := newCA(t)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	issue := func(c x509.Certificate) *x509.Certificate {
		c.SerialNumber, _ = newSerial()
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, &c, ca.cert, &key.PublicKey, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		out, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	good := issue(x509.Certificate{DNSNames: []string{"s3.amazonaws.com"}})
	if _, err := good.Verify(x509.VerifyOptions{Roots: trust(ca), DNSName: "s3.amazonaws.com"}); err != nil {
		t.Errorf("a host of AWS: %v", err)
	}
	other := issue(x509.Certificate{DNSNames: []string{"bank.example.com"}})
	if _, err := other.Verify(x509.VerifyOptions{Roots: trust(ca), DNSName: "bank.example.com"}); err == nil {
		t.Error("it can sign for another host")
	}
	// Go checks a chain's addresses when it verifies, whatever name was asked.
	addr := issue(x509.Certificate{IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}})
	if _, err := addr.Verify(x509.VerifyOptions{Roots: trust(ca)}); err == nil {
		t.Error("it can sign for an address")
	}
	sub := issue(x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: sub.SerialNumber, NotBefore: sub.NotBefore, NotAfter: sub.NotAfter, DNSNames: []string{"s3.amazonaws.com"},
	}, sub, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	middle := x509.NewCertPool()
	middle.AddCert(sub)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: trust(ca), Intermediates: middle, DNSName: "s3.amazonaws.com"}); err == nil {
		t.Error("it can make another CA")
	}
}

func TestCABundle(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	extra := filepath.Join(t.TempDir(), "corporate.pem")
	if err := os.WriteFile(extra, append([]byte("# a comment\n"), other.PEM()...), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range bundleVars {
		t.Setenv(name, "")
	}
	t.Setenv("REQUESTS_CA_BUNDLE", extra)
	t.Setenv("AWS_CA_BUNDLE", extra) // twice the same
	path := filepath.Join(t.TempDir(), "deep", "bundle.pem")
	if err := ca.CABundle(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(text, ca.PEM()) {
		t.Fatalf("our CA does not stand first: %v", err)
	}
	if n := bytes.Count(text, other.PEM()); n != 1 {
		t.Errorf("the environment's root is there %d times", n)
	}
	count := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		count++
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Errorf("certificate %d: %v", count, err)
		}
	}
	for _, file := range systemBundles {
		if _, err := os.Stat(file); err == nil && count < 10 {
			t.Errorf("%d certificates, though the system has %s", count, file)
		}
	}
}

func TestEnv(t *testing.T) {
	got := Env([]string{
		"PATH=/bin", "https_proxy=http://corp:3128", "HTTPS_PROXY=http://corp:3128", "AWS_CA_BUNDLE=/old.pem", "AWS_REGION=us-east-1",
		"NO_PROXY=.corp.example, *.amazonaws.com,sts.us-east-1.amazonaws.com,com,*,10.0.0.0/8,api.aws,localhost",
	}, "127.0.0.1:9", "/tmp/b.pem")
	for _, want := range []string{
		"PATH=/bin", "AWS_REGION=us-east-1", "HTTPS_PROXY=http://127.0.0.1:9", "https_proxy=http://127.0.0.1:9",
		"HTTP_PROXY=http://127.0.0.1:9", "http_proxy=http://127.0.0.1:9", "AWS_CA_BUNDLE=/tmp/b.pem", "REQUESTS_CA_BUNDLE=/tmp/b.pem",
		"SSL_CERT_FILE=/tmp/b.pem", "NODE_EXTRA_CA_CERTS=/tmp/b.pem", "NO_PROXY=localhost,127.0.0.1,::1,.corp.example,10.0.0.0/8",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %v", want, got)
		}
	}
	for _, entry := range got {
		if strings.Contains(entry, "corp:3128") || strings.Contains(entry, "/old.pem") {
			t.Errorf("%s is left", entry)
		}
	}
}

// clientTLS is the client's half: it trusts the CA alone.
func clientTLS(ca *CA) *tls.Config { return &tls.Config{RootCAs: trust(ca)} }
