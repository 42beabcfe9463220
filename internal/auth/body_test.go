// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// The key and the time of the examples in AWS's documents.
var (
	exampleKey  = Key{ID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Account: "123456789012"}
	exampleTime = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
)

func exampleVerifier() *Verifier {
	return New(Options{Keys: keyring{exampleKey.ID: exampleKey}, Now: func() time.Time { return exampleTime }})
}

// example is AWS's own: 65 KiB of "a" in chunks of 64 KiB and 1 KiB.
//
// Source: "Signature calculations for the Authorization header: transferring
// payload in multiple chunks" and "… including trailing headers".
type example struct {
	mode, seed, signed, extra string
	chunks                    [3]string
	tail                      string
}

var examples = map[string]example{
	"signed chunks": {
		mode:   "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
		seed:   "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
		signed: "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
		chunks: [3]string{
			"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
			"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
			"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
		},
		tail: "\r\n",
	},
	"signed chunks and trailer": {
		mode:   "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
		seed:   "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
		signed: "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
		extra:  "X-Amz-Trailer: x-amz-checksum-crc32c\r\n",
		chunks: [3]string{
			"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
			"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
			"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
		},
		tail: "x-amz-checksum-crc32c:sOO8/Q==\r\n" +
			"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
	},
}

func (e example) body() string {
	a := strings.Repeat("a", 65536)
	return "10000;chunk-signature=" + e.chunks[0] + "\r\n" + a + "\r\n" +
		"400;chunk-signature=" + e.chunks[1] + "\r\n" + a[:1024] + "\r\n" +
		"0;chunk-signature=" + e.chunks[2] + "\r\n" + e.tail
}

func (e example) request(t *testing.T, body string) *http.Request {
	t.Helper()
	head := "PUT /examplebucket/chunkObject.txt HTTP/1.1\r\nHost: s3.amazonaws.com\r\nX-Amz-Date: 20130524T000000Z\r\n" +
		"X-Amz-Storage-Class: REDUCED_REDUNDANCY\r\nContent-Encoding: aws-chunked\r\nX-Amz-Decoded-Content-Length: 66560\r\n" +
		"X-Amz-Content-Sha256: " + e.mode + "\r\n" + e.extra +
		fmt.Sprintf("Content-Length: %d\r\n", len(e.body())) + // signed, so that of the good body
		"Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=" +
		e.signed + ",Signature=" + e.seed + "\r\n\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(strings.NewReader(body))
	return r
}

func TestChunksOfTheDocuments(t *testing.T) {
	for name, e := range examples {
		t.Run(name, func(t *testing.T) {
			_, _, b, err := exampleVerifier().VerifyStream(e.request(t, e.body()))
			if err != nil {
				t.Fatal(err)
			}
			if b.Length != 66560 {
				t.Errorf("length %d", b.Length)
			}
			got, err := io.ReadAll(b)
			if err != nil || string(got) != strings.Repeat("a", 66560) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if e.extra != "" && b.Trailer.Get("X-Amz-Checksum-Crc32c") != "sOO8/Q==" {
				t.Errorf("trailer %v", b.Trailer)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("after the end: %d, %v", n, err)
			}
		})
	}
}

func TestChunksThatWereAltered(t *testing.T) {
	for name, e := range examples {
		good := e.body()
		replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
		second := strings.Index(good, "400;")
		last := strings.LastIndex(good, "\r\n0;") + 2
		bad := map[string]string{
			"a byte of data":                 replace("aaaa", "aaba"),
			"a byte of the last chunk":       good[:second+200] + "b" + good[second+201:],
			"the first signature":            replace(e.chunks[0][:8], "00000000"),
			"the last signature":             replace(e.chunks[2][:8], "00000000"),
			"the chunks' order":              good[second:last] + good[:second] + good[last:],
			"the second chunk left out":      good[:second] + good[last:],
			"no last chunk":                  good[:last],
			"cut in a chunk":                 good[:second+100],
			"cut in a head":                  good[:second+20],
			"a size that is none":            replace("10000;", "xyz;"),
			"a size that is negative":        replace("10000;", "-1;"),
			"a size beyond all":              replace("10000;", "fffffffffffffffff;"),
			"a size too large by one":        replace("400;", "401;"),
			"a size too small by one":        replace("400;", "3ff;"),
			"a chunk without signature":      replace(";chunk-signature="+e.chunks[1], ""),
			"more after the end":             good + "x",
			"a trailer that nobody declared": replace("\r\n"+e.tail, "\r\nx-amz-checksum-sha1:AA==\r\n"+e.tail),
		}
		if e.extra != "" {
			bad["another checksum"] = replace("sOO8/Q==", "sOO8/A==")
			bad["no checksum"] = replace("x-amz-checksum-crc32c:sOO8/Q==\r\n", "")
			bad["no trailer's signature"] = good[:strings.Index(good, "x-amz-trailer-sig")] + "\r\n"
		}
		for what, body := range bad {
			t.Run(name+", "+what, func(t *testing.T) {
				if body == good {
					t.Fatal("nothing was altered")
				}
				_, _, b, err := exampleVerifier().VerifyStream(e.request(t, body))
				if err != nil {
					t.Fatal(err) // the request's own signature is right
				}
				_, err = io.ReadAll(b)
				if _, ok := errors.AsType[*Refusal](err); !ok {
					t.Errorf("got %v", err)
				}
				// A reader of just so many bytes must not be fooled either.
				_, _, b, _ = exampleVerifier().VerifyStream(e.request(t, body))
				if _, err := io.ReadFull(b, make([]byte, 66560)); err == nil {
					t.Error("66560 bytes were given")
				}
			})
		}
	}
}

// unsigned is an upload as botocore sends it over TLS.
func unsigned(t *testing.T, trailer, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest("PUT", "http://127.0.0.1/b/k", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Trailer", trailer)
	Sign(r, user, "us-east-1", "s3", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", now)
	return r
}

func TestTrailingChecksums(t *testing.T) {
	sums := map[string]string{
		// Of "123456789", each algorithm's published check value.
		"x-amz-checksum-crc32":     "y/Q5Jg==",
		"x-amz-checksum-crc32c":    "4waSgw==",
		"x-amz-checksum-crc64nvme": "rosUhgp5mIg=",
		"x-amz-checksum-sha1":      "98O8HYCOBHMq32eZZczDTKeuNEE=",
		"x-amz-checksum-sha256":    "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
	}
	crc := crc32.ChecksumIEEE([]byte("123456789"))
	if got := base64.StdEncoding.EncodeToString([]byte{byte(crc >> 24), byte(crc >> 16), byte(crc >> 8), byte(crc)}); got != sums["x-amz-checksum-crc32"] {
		t.Fatalf("the test's own value is %s", got)
	}
	for name, sum := range sums {
		t.Run(name, func(t *testing.T) {
			read := func(sum string) error {
				_, _, b, err := at(now).VerifyStream(unsigned(t, name, "4\r\n1234\r\n5\r\n56789\r\n0\r\n"+name+":"+sum+"\r\n\r\n"))
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(iotest.OneByteReader(b))
				if err == nil && string(got) != "123456789" {
					t.Errorf("read %q", got)
				}
				return err
			}
			if err := read(sum); err != nil {
				t.Error(err)
			}
			f, ok := errors.AsType[*Refusal](read(strings.Repeat("A", len(sum))))
			if !ok || f.Kind != BadChecksum || f.Fault(S3).Code != "BadDigest" {
				t.Errorf("a wrong sum: %v", f)
			}
		})
	}
}

func TestHashedBodyIsVerifiedWhileRead(t *testing.T) {
	make := func(body, claimed string, length int64) *Body {
		t.Helper()
		r, _ := http.NewRequest("PUT", "http://127.0.0.1/b/k", strings.NewReader(body))
		Sign(r, user, "us-east-1", "s3", PayloadHash([]byte(claimed)), now)
		r.ContentLength = length
		_, _, b, err := at(now).VerifyStream(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, length := range []int64{5, -1} {
		if got, err := io.ReadAll(make("hello", "hello", length)); err != nil || string(got) != "hello" {
			t.Errorf("length %d: %q, %v", length, got, err)
		}
		_, err := io.ReadAll(make("hello", "help!", length))
		if f, ok := errors.AsType[*Refusal](err); !ok || f.Kind != BodyMismatch {
			t.Errorf("length %d: another body: %v", length, err)
		}
	}
	if _, err := io.ReadFull(make("hello", "help!", 5), []byte("     ")); err == nil {
		t.Error("a reader of five bytes was not told")
	}
	r, _ := http.NewRequest("PUT", "http://127.0.0.1/b/k", nil)
	Sign(r, user, "us-east-1", "s3", PayloadHash([]byte("x")), now)
	if _, _, _, err := at(now).VerifyStream(r); err == nil {
		t.Error("an empty body passes for one that was not")
	}
}

func TestBodyOverTheLimitIsNotRead(t *testing.T) {
	v := at(now)
	v.BodyLimit = 4
	for _, length := range []int64{5, -1} {
		r, _ := http.NewRequest("POST", "http://127.0.0.1/", strings.NewReader("hello"))
		Sign(r, user, "us-east-1", "sagemaker", PayloadHash([]byte("hello")), now)
		r.ContentLength = length
		_, _, _, err := v.VerifyStream(r)
		if f, ok := errors.AsType[*Refusal](err); !ok || f.Kind != BodyTooLarge {
			t.Errorf("length %d: %v", length, err)
		}
	}
}

// FuzzChunks holds that whatever is decoded without error is what the
// encoder of the same chunks was given, and that nothing panics.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"), int64(-1))
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n"), int64(5))
	f.Add([]byte("0\r\n"), int64(0))
	f.Add([]byte("7fffffffffffffff\r\n"), int64(-1))
	f.Fuzz(func(t *testing.T, text []byte, length int64) {
		b := &Body{Length: max(length, -1)}
		c := newChunkReader(b, bytes.NewReader(text), http.Header{}, nil, unsignedChunks, nil)
		got, err := io.ReadAll(c)
		if err != nil {
			if _, ok := errors.AsType[*Refusal](err); !ok {
				t.Errorf("%v is no refusal", err)
			}
			return
		}
		if length >= 0 && int64(len(got)) != length {
			t.Errorf("%d bytes were declared, %d given", length, len(got))
		}
		if len(got) > 0 && !bytes.Contains(text, got[:1]) {
			t.Error("bytes from nowhere")
		}
		again := fmt.Appendf(nil, "0\r\n\r\n")
		if len(got) > 0 {
			again = fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(got), got)
		}
		back, err := io.ReadAll(newChunkReader(&Body{Length: -1}, bytes.NewReader(again), http.Header{}, nil, unsignedChunks, nil))
		if err != nil || !bytes.Equal(got, back) {
			t.Errorf("again: %q, %v", back, err)
		}
	})
}

func BenchmarkSignedChunks(b *testing.B) {
	e := examples["signed chunks"]
	body := e.body()
	key := deriveKey(exampleKey.Secret, Scope{exampleKey.ID, "20130524", "us-east-1", "s3"})
	c := &credential{Scope: Scope{exampleKey.ID, "20130524", "us-east-1", "s3"}, signature: e.seed, stamp: "20130524T000000Z"}
	b.SetBytes(66560)
	for b.Loop() {
		r := newChunkReader(&Body{Length: 66560}, strings.NewReader(body), http.Header{}, c, signedChunks, key)
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}
