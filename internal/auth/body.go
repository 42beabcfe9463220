// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
)

// Body is a request's payload as its sender meant it: verified while it is
// read, decoded when it was aws-chunked. Until it has ended well, what was
// read of it is not to be believed.
//
// Not for concurrent use.
type Body struct {
	// Length is how many bytes Read gives, -1 when the sender did not tell.
	Length int64
	// Trailer holds the trailing headers of an aws-chunked body once Read has
	// returned io.EOF; x-amz-checksum- ones among them have been verified
	// when their algorithm is CRC32, CRC32C, CRC64NVME, SHA1 or SHA256.
	Trailer http.Header

	r io.Reader
	c io.Closer
}

// Read reads the payload. A *Refusal in place of io.EOF says that it is not
// the one that was signed. Where Length is known the last bytes are returned
// only once they are verified, so a reader of exactly Length bytes is safe.
func (b *Body) Read(p []byte) (int, error) { return b.r.Read(p) }

// Close closes the request's body.
func (b *Body) Close() error {
	if b.c == nil {
		return nil
	}
	return b.c.Close()
}

// newBody wraps r's body as p asks. k is the request's signing key.
func newBody(r *http.Request, c *credential, p payload, k *signingKey) (*Body, error) {
	src := r.Body
	if src == nil {
		src = http.NoBody
	}
	b := &Body{Length: r.ContentLength, r: src, c: src}
	if src == http.NoBody {
		b.Length = 0
	}
	switch p.mode {
	case unsignedBody:
	case hashedBody:
		if b.Length == 0 {
			if p.text != emptyHash {
				return nil, refuse(BodyMismatch, "")
			}
			break
		}
		b.r = &hashReader{r: src, want: p.text, left: b.Length, sum: sha256.New()}
	default:
		b.Length = -1
		if text := r.Header.Get("X-Amz-Decoded-Content-Length"); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < 0 {
				return nil, refuse(BodyMalformed, "x-amz-decoded-content-length must be a number")
			}
			b.Length = n
		}
		b.r = newChunkReader(b, src, r.Header, c, p.mode, k)
	}
	return b, nil
}

// emptyHash is the SHA-256 of nothing.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// hashReader passes a body through and fails at its end when its hash is not
// the one that was signed.
type hashReader struct {
	r    io.Reader
	want string
	left int64 // bytes to come; negative when unknown
	sum  hash.Hash
	err  error
}

func (h *hashReader) Read(p []byte) (int, error) {
	if h.err != nil {
		return 0, h.err
	}
	n, err := h.r.Read(p)
	h.sum.Write(p[:n])
	if h.left >= 0 {
		h.left -= int64(n)
	}
	switch {
	case err == io.EOF || err == nil && n > 0 && h.left == 0:
		// A body shorter than its Content-Length is net/http's to refuse.
		h.err = io.EOF
		if !sameMAC(hex.EncodeToString(h.sum.Sum(nil)), h.want) {
			h.err = refuse(BodyMismatch, "")
			return 0, h.err
		}
	case err != nil:
		h.err = bodyError(err)
	}
	return n, h.err
}

// bodyError tells a body that was cut off from a connection that failed.
func bodyError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refuse(BodyMalformed, "The request body terminated unexpectedly")
	}
	return fmt.Errorf("read request body: %w", err)
}
