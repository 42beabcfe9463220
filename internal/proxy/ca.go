// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	keyFile  = "ca-key.pem" // key and certificate together, so that they are always a pair
	certFile = "ca.pem"     // the certificate alone, for people to copy

	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 30 * 24 * time.Hour
	// maxLeaves bounds the certificates kept; each bucket is a host.
	maxLeaves = 1024
)

// CA signs certificates for hosts under AWS's domains, and by its name
// constraints for nothing else: whoever trusts it trusts it for those alone.
// It is safe for concurrent use.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte

	leafKey *ecdsa.PrivateKey

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

// LoadOrCreateCA gives the CA of a folder, which it makes when it is missing:
// an ECDSA P-256 root, valid for ten years, its key readable by its owner
// only. Two processes that come at once get the same one. A CA within a month
// of its end is replaced. An error says which file is unreadable.
func LoadOrCreateCA(dir string) (*CA, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make CA folder: %w", err)
	}
	path := filepath.Join(dir, keyFile)
	ca, err := loadCA(path)
	if err == nil && time.Until(ca.cert.NotAfter) < leafLife {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove expiring CA: %w", err)
		}
		err = fs.ErrNotExist
		ca = nil
	}
	if ca == nil && (err == nil || errors.Is(err, fs.ErrNotExist)) {
		if err := createCA(path); err != nil {
			return nil, err
		}
		ca, err = loadCA(path)
	}
	if err != nil {
		return nil, err
	}
	// The copy is for people; it follows the pair.
	if old, err := os.ReadFile(filepath.Join(dir, certFile)); err != nil || !bytes.Equal(old, ca.pem) {
		if err := writeFile(filepath.Join(dir, certFile), ca.pem, 0o644); err != nil {
			return nil, fmt.Errorf("write CA certificate: %w", err)
		}
	}
	if ca.leafKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make leaf key: %w", err)
	}
	return ca, nil
}

func loadCA(path string) (*CA, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("read CA %s: %w", path, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("read CA %s: it holds no ECDSA root", path)
	}
	return &CA{
		cert: pair.Leaf, key: key, leaves: make(map[string]*tls.Certificate),
		pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Leaf.Raw}),
	}, nil
}

// createCA writes a new pair to path, unless somebody else has meanwhile.
func createCA(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make CA key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	owner, _ := os.Hostname()
	now := time.Now()
	_, all4, _ := net.ParseCIDR("0.0.0.0/0")
	_, all6, _ := net.ParseCIDR("::/0")
	root := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Sagebrush"}, CommonName: "Sagebrush local CA " + owner},
		NotBefore:    now.Add(-time.Hour), // clocks of containers differ
		NotAfter:     now.Add(caLife),
		KeyUsage:     x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:         true, BasicConstraintsValid: true, MaxPathLenZero: true,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         domains,
		ExcludedIPRanges:            []*net.IPNet{all4, all6},
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("sign CA: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("write CA key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)

	temp, err := tempFile(path, text, 0o600)
	if err != nil {
		return fmt.Errorf("write CA: %w", err)
	}
	defer os.Remove(temp)
	// Link fails where rename would replace the pair that another made.
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write CA: %w", err)
	}
	return nil
}

// newSerial is a certificate's number: 127 random bits.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw serial number: %w", err)
	}
	return n, nil
}

// tempFile writes text to a new file beside path and gives its name.
func tempFile(path string, text []byte, mode fs.FileMode) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// writeFile replaces path as a whole, so that no reader sees half of it.
func writeFile(path string, text []byte, mode fs.FileMode) error {
	temp, err := tempFile(path, text, mode)
	if err != nil {
		return err
	}
	return errors.Join(os.Rename(temp, path), ignoreMissing(os.Remove(temp)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// PEM is the CA's certificate. The caller must not write to it.
func (ca *CA) PEM() []byte { return ca.pem }

// Leaf gives a certificate for a host under AWS's domains, made at its first
// use. It is an error to ask for any other host.
func (ca *CA) Leaf(host string) (*tls.Certificate, error) {
	host = hostname(host)
	if !IsAWS(host) {
		return nil, fmt.Errorf("make certificate: %q is not a host of AWS", host)
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if c := ca.leaves[host]; c != nil && time.Until(c.Leaf.NotAfter) > leafLife/2 {
		return c, nil
	}
	c, err := ca.sign(host)
	if err != nil {
		return nil, fmt.Errorf("make certificate for %q: %w", host, err)
	}
	if len(ca.leaves) >= maxLeaves {
		clear(ca.leaves)
	}
	ca.leaves[host] = c
	return c, nil
}

func (ca *CA) sign(host string) (*tls.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial,
		// No common name: it may have 64 characters at most, a host 253.
		Subject:     pkix.Name{Organization: []string{"Sagebrush"}},
		NotBefore:   now.Add(-time.Hour),
		NotAfter:    now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{host},
	}, ca.cert, &ca.leafKey.PublicKey, ca.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ca.leafKey, Leaf: leaf}, nil
}
