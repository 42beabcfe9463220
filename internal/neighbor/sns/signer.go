// SPDX-License-Identifier: Apache-2.0

package sns

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // SignatureVersion 1 is of SHA-1
	_ "crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
)

// CertificatePath is where the gateway shows the certificate of the signatures
// to anyone.
const CertificatePath = "/SimpleNotificationService.pem"

// signer signs messages with a key of this home.
type signer struct {
	key         *rsa.PrivateKey
	certificate []byte // PEM
}

// signerOf reads the key, or makes it at its first use: that takes a moment,
// which a server without subscriptions should not wait for.
func (s *Service) signerOf(ctx context.Context) (*signer, error) {
	s.signing.Lock()
	defer s.signing.Unlock()
	if s.signer != nil {
		return s.signer, nil
	}
	var key, certificate []byte
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		err := w.QueryRowContext(ctx, "SELECT key, certificate FROM signer").Scan(&key, &certificate)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if key, certificate, err = newKey(s.now()); err != nil {
			return err
		}
		_, err = w.Exec("INSERT INTO signer (id, key, certificate) VALUES (1, ?, ?)", key, certificate)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("key of signatures: %w", err)
	}
	k, err := x509.ParsePKCS1PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("key of signatures: %w", err)
	}
	s.signer = &signer{key: k, certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})}
	return s.signer, nil
}

// newKey makes a key and a certificate that it signs itself, for 20 years.
func newKey(now time.Time) (key, certificate []byte, err error) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "Sagebrush notifications"}, NotBefore: now.Add(-24 * time.Hour),
		NotAfter: now.AddDate(20, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true}
	certificate, err = x509.CreateCertificate(rand.Reader, t, t, k.Public(), k)
	return x509.MarshalPKCS1PrivateKey(k), certificate, err
}

// Certificate is the certificate of the signatures, PEM.
func (s *Service) Certificate(ctx context.Context) ([]byte, error) {
	g, err := s.signerOf(ctx)
	if err != nil {
		return nil, err
	}
	return g.certificate, nil
}

// sign is the signature of a text, base 64: of SHA-1 in version 1, of SHA-256
// in version 2.
func (g *signer) sign(text, version string) (string, error) {
	hash := crypto.SHA1
	if version == "2" {
		hash = crypto.SHA256
	}
	h := hash.New()
	h.Write([]byte(text))
	b, err := rsa.SignPKCS1v15(nil, g.key, hash, h.Sum(nil))
	return base64.StdEncoding.EncodeToString(b), err
}
