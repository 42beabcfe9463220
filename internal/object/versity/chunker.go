// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
)

// chunkBytes is how much a chunk that we make holds. The S3 server wants 8 KiB
// of all but the last.
const chunkBytes = 64 << 10

// chunker gives a body in unsigned aws-chunks, with one checksum behind it:
//
//	hex-size \r\n data \r\n … 0 \r\n name:value \r\n \r\n
//
// Its end comes only once the body has ended well.
type chunker struct {
	body *auth.Body
	name string // of the trailer
	data []byte // room for a chunk
	out  []byte // framed, not yet given
	room []byte // what out is a part of
	err  error
}

// checksumBytes is how long the value of each trailer is, in base64.
var checksumBytes = map[string]int64{
	"x-amz-checksum-crc32": 8, "x-amz-checksum-crc32c": 8, "x-amz-checksum-crc64nvme": 12,
	"x-amz-checksum-sha1": 28, "x-amz-checksum-sha256": 44, "x-amz-checksum-sha512": 88, "x-amz-checksum-md5": 24,
	"x-amz-checksum-xxhash64": 12, "x-amz-checksum-xxhash3": 12, "x-amz-checksum-xxhash128": 24,
}

// newChunker frames a body of known length; name is in checksumBytes.
func newChunker(body *auth.Body, name string) *chunker {
	return &chunker{body: body, name: name, data: make([]byte, min(chunkBytes, body.Length+1))} // one more, to meet the end at once
}

// size is how many bytes Read gives: the S3 server reads no further than the
// last of them, so it is to know which that is.
func (c *chunker) size() int64 {
	chunk := func(n int64) int64 { return int64(len(strconv.FormatInt(n, 16))) + 2 + n + 2 }
	size := c.body.Length / chunkBytes * chunk(chunkBytes)
	if rest := c.body.Length % chunkBytes; rest > 0 {
		size += chunk(rest)
	}
	return size + int64(len("0\r\n")+len(c.name)+len(":\r\n\r\n")) + checksumBytes[c.name]
}

// Read gives framed bytes.
func (c *chunker) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.fill()
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

// fill frames the next chunk.
func (c *chunker) fill() {
	n := 0
	for n < len(c.data) && c.err == nil {
		var m int
		m, c.err = c.body.Read(c.data[n:])
		n += m
	}
	if c.err != nil && !errors.Is(c.err, io.EOF) {
		return
	}
	c.room = c.room[:0]
	if n > 0 {
		c.room = fmt.Appendf(c.room, "%x\r\n", n)
		c.room = append(append(c.room, c.data[:n]...), "\r\n"...)
	}
	if errors.Is(c.err, io.EOF) {
		sum := c.body.Trailer.Get(c.name)
		if int64(len(sum)) != checksumBytes[c.name] {
			c.err = &auth.Refusal{Kind: auth.BadChecksum, Detail: "The value of " + c.name + " is malformed."}
			return
		}
		c.room = fmt.Appendf(c.room, "0\r\n%s:%s\r\n\r\n", c.name, sum)
	}
	c.out = c.room
}

// Close closes the body.
func (c *chunker) Close() error { return c.body.Close() }
