// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// recordMagic begins each record.
var recordMagic = string(binary.LittleEndian.AppendUint32(nil, recordio.Magic))

// kinds are files that are told by their first bytes, and what to do about one
// where another format is read: no text, and no file of the other formats,
// begins so.
var kinds = []struct {
	magic  string
	format Format // that it is of, if any
	is     string
}{
	{"\x1f\x8b", "", "is compressed with gzip, which was not expected: the channel's CompressionType Gzip unpacks it"},
	{"BZh91AY&SY", "", "is compressed with bzip2; unpack it"},
	{"\x28\xb5\x2f\xfd", "", "is compressed with zstd; unpack it"},
	{"\xfd7zXZ\x00", "", "is compressed with xz; unpack it"},
	{"PK\x03\x04", "", "is a zip archive; unpack it"},
	{magic, Parquet, "is a Parquet file, which was not expected: its ContentType is application/x-parquet"},
	{recordMagic, RecordIO, "is RecordIO, which was not expected: its ContentType is application/x-recordio-protobuf"},
	{"\xff\xfe", "", "is UTF-16 text; UTF-8 was expected"},
	{"\xfe\xff", "", "is UTF-16 text; UTF-8 was expected"},
	{"\x93NUMPY", "", "is a NumPy array; the formats of the algorithm were expected"},
}

// checkKinds refuses files that are of a kind other than format, "" for text.
// why says where that format is from.
func checkKinds(sources []source, format Format, why string) error {
	for _, src := range sources {
		for _, k := range kinds {
			if !bytes.HasPrefix(src.b, []byte(k.magic)) || format != "" && k.format == format {
				continue
			}
			if k.format != Parquet || bytes.HasSuffix(src.b, []byte(magic)) {
				return algo.ClientErrorf("file %s: %s", src.name, k.is)
			}
		}
		head := src.b[:min(len(src.b), 512)]
		switch {
		case len(head) == 0:
		case format == RecordIO && !bytes.HasPrefix(head, []byte(recordMagic)):
			return algo.ClientErrorf("file %s: is no RecordIO, which was expected%s", src.name, why)
		case (format == CSV || format == LibSVM) && bytes.IndexByte(head, 0) >= 0:
			return algo.ClientErrorf("file %s: is no text, which was expected%s", src.name, why)
		}
	}
	return nil
}

// because says why the format of a channel was expected.
func because(ch *algo.Channel, opts Options) string {
	switch {
	case strings.TrimSpace(ch.ContentType) != "":
		return " by the ContentType " + ch.ContentType
	case opts.Formats == nil || slices.Contains(opts.Formats, CSV):
		return " as the channel has no ContentType; that of CSV is text/csv"
	}
	return ""
}
