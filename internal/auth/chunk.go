// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// chunkReader decodes an aws-chunked body:
//
//	hex-size [;chunk-signature=…] \r\n data \r\n … 0 [;chunk-signature=…] \r\n [trailer:value \r\n]… \r\n
//
// and verifies, per mode, each chunk's signature (which covers the one before
// it, so that none can be moved), the trailer's, and a trailing checksum.
//
// Source: AWS, "Signature calculations for the Authorization header:
// transferring payload in multiple chunks", and "… including trailing headers".
type chunkReader struct {
	body  *Body
	br    *bufio.Reader
	mode  payloadMode
	key   *signingKey
	scope []byte // "20261120T210000Z\n20261120/…/aws4_request\n"

	prev  []byte    // signature before this one: the seed is the request's own
	want  []byte    // this chunk's
	sum   hash.Hash // of this chunk's data; nil when unsigned
	left  int64     // of this chunk
	given int64     // decoded bytes so far
	err   error

	declared []string // names in x-amz-trailer
	check    hash.Hash
	checkKey string // "X-Amz-Checksum-Crc32"
}

// maxChunkLine bounds a chunk's head and a trailer's line.
const maxChunkLine = 4096

func newChunkReader(b *Body, src io.Reader, h http.Header, c *credential, mode payloadMode, k *signingKey) *chunkReader {
	cr := &chunkReader{body: b, br: bufio.NewReaderSize(src, maxChunkLine), mode: mode, key: k}
	if mode != unsignedChunks {
		cr.sum = sha256.New()
		cr.prev = []byte(c.signature)
		cr.scope = append([]byte(c.stamp), '\n')
		cr.scope = append(c.Scope.appendTo(cr.scope), '\n')
	}
	if mode != signedChunks {
		for name := range strings.SplitSeq(h.Get("X-Amz-Trailer"), ",") {
			name = strings.ToLower(strings.TrimSpace(name))
			cr.declared = append(cr.declared, name)
			if f := checksums[name]; f != nil {
				cr.check, cr.checkKey = f(), http.CanonicalHeaderKey(name)
			}
		}
	}
	return cr
}

// checksums are the trailing checksums that S3's clients send.
var checksums = map[string]func() hash.Hash{
	"x-amz-checksum-crc32":  func() hash.Hash { return crc32.NewIEEE() },
	"x-amz-checksum-crc32c": func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	// The NVM Express polynomial, 0xad93d23594c93659, bits reversed.
	"x-amz-checksum-crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
	"x-amz-checksum-sha1":      sha1.New,
	"x-amz-checksum-sha256":    sha256.New,
}

// Read gives decoded bytes. A chunk's bytes come before its signature has
// been seen; its last byte does not.
func (c *chunkReader) Read(p []byte) (int, error) {
	if c.err != nil || len(p) == 0 {
		return 0, c.err
	}
	n, err := c.read(p)
	if err != nil {
		c.err = err
		if !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
	return n, c.err
}

func (c *chunkReader) read(p []byte) (int, error) {
	if c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.br.Read(p)
	if err != nil && n == 0 {
		return 0, bodyError(err)
	}
	if c.sum != nil {
		c.sum.Write(p[:n])
	}
	if c.check != nil {
		c.check.Write(p[:n])
	}
	c.left -= int64(n)
	c.given += int64(n)
	if c.left > 0 {
		return n, nil
	}
	if err := c.endChunk(); err != nil {
		return n, err
	}
	if c.given == c.body.Length {
		return n, c.next() // must be the last chunk: io.EOF
	}
	return n, nil
}

// next reads a chunk's head; on the last one also what follows it, and then
// it gives io.EOF.
func (c *chunkReader) next() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	head, ext, _ := bytes.Cut(line, []byte{';'})
	size, err := parseSize(head)
	if err != nil {
		return err
	}
	if c.sum != nil {
		sig, ok := bytes.CutPrefix(ext, []byte("chunk-signature="))
		if !ok || len(sig) != 2*sha256.Size {
			return refuse(BodyMalformed, "A chunk is not signed")
		}
		c.want = append(c.want[:0], sig...)
	}
	if size > 0 {
		if c.body.Length >= 0 && size > c.body.Length-c.given {
			return refuse(BodyMalformed, "The body is longer than x-amz-decoded-content-length")
		}
		c.left = size
		return nil
	}
	if c.body.Length >= 0 && c.given != c.body.Length {
		return refuse(BodyMalformed, "You did not provide the number of bytes specified by the Content-Length HTTP header.")
	}
	if err := c.verifyChunk(); err != nil {
		return err
	}
	if err := c.trailer(); err != nil {
		return err
	}
	if _, err := c.br.ReadByte(); err != io.EOF {
		if err != nil {
			return bodyError(err)
		}
		return refuse(BodyMalformed, "There is data after the last chunk")
	}
	return io.EOF
}

func parseSize(head []byte) (int64, error) {
	size, err := strconv.ParseUint(string(head), 16, 63)
	if err != nil || len(head) > 16 {
		return 0, refuse(BodyMalformed, "A chunk's size is malformed")
	}
	return int64(size), nil
}

// endChunk reads the line end after a chunk's data and verifies the chunk.
func (c *chunkReader) endChunk() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	if len(line) != 0 {
		return refuse(BodyMalformed, "A chunk is longer than its size")
	}
	return c.verifyChunk()
}

// verifyChunk holds the chunk's signature against its data.
func (c *chunkReader) verifyChunk() error {
	if c.sum == nil {
		return nil
	}
	t := append([]byte("AWS4-HMAC-SHA256-PAYLOAD\n"), c.scope...)
	t = append(t, c.prev...)
	t = append(t, "\n"+emptyHash+"\n"...)
	t = hex.AppendEncode(t, c.sum.Sum(nil))
	c.sum.Reset()
	return c.verify(t, c.want)
}

func (c *chunkReader) verify(text, want []byte) error {
	got := c.key.appendSign(make([]byte, 0, 2*sha256.Size), text)
	if !sameMAC(string(got), string(want)) {
		return refuse(Mismatch, "")
	}
	c.prev = got
	return nil
}

// trailer reads trailing headers up to the empty line that ends the body.
// Some senders leave the empty line out, which nothing depends on.
func (c *chunkReader) trailer() error {
	var signed []byte // "name:value\n" of each, which the trailer's signature covers
	var signature []byte
	for !c.atEnd() {
		line, err := c.line()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		key := strings.ToLower(string(bytes.TrimSpace(name)))
		value = bytes.TrimSpace(value)
		if !ok || c.mode == signedChunks {
			return refuse(BodyMalformed, "The request contained trailing data that was not well-formed or did not conform to our published schema.")
		}
		if key == "x-amz-trailer-signature" {
			signature = bytes.Clone(value)
			continue
		}
		if !slices.Contains(c.declared, key) || len(signed) > maxChunkLine {
			return refuse(BodyMalformed, "The trailer '"+key+"' is not named in x-amz-trailer")
		}
		signed = append(signed, key+":"...)
		signed = append(append(signed, value...), '\n')
		if c.body.Trailer == nil {
			c.body.Trailer = make(http.Header)
		}
		c.body.Trailer.Add(key, string(value))
	}
	if c.mode == signedTrailer {
		sum := sha256.Sum256(signed)
		t := append([]byte("AWS4-HMAC-SHA256-TRAILER\n"), c.scope...)
		t = append(append(t, c.prev...), '\n')
		if err := c.verify(hex.AppendEncode(t, sum[:]), signature); err != nil {
			return err
		}
	}
	return c.verifyChecksum()
}

// verifyChecksum holds a trailing checksum, once announced, against the data.
func (c *chunkReader) verifyChecksum() error {
	if c.check == nil {
		return nil
	}
	if c.body.Trailer.Get(c.checkKey) != base64.StdEncoding.EncodeToString(c.check.Sum(nil)) {
		name := strings.ToUpper(strings.TrimPrefix(c.checkKey, "X-Amz-Checksum-"))
		return refuse(BadChecksum, "The "+name+" you specified did not match the calculated checksum.")
	}
	return nil
}

// atEnd reports whether the body has no more bytes.
func (c *chunkReader) atEnd() bool {
	_, err := c.br.Peek(1)
	return err == io.EOF
}

// line reads up to "\r\n" and leaves it out. The result stands until the next
// read.
func (c *chunkReader) line() ([]byte, error) {
	line, err := c.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, refuse(BodyMalformed, "A chunk's head is too long")
	}
	if err != nil {
		return nil, bodyError(err)
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}
