// SPDX-License-Identifier: Apache-2.0

// Package recordio reads and writes the format in which the first-party
// algorithms of SageMaker take their data: records one after another in MXNet's
// RecordIO framing, each of which is a Record, a protobuf message of tensors
// (content type application/x-recordio-protobuf). The framing alone is what Pipe
// mode wraps objects in (RecordWrapperType RecordIO), and what holds images
// (application/x-recordio).
//
// # Framing
//
// A record is one part, or several when it contains the magic word at a
// multiple of four bytes and its writer is MXNet's:
//
//	bytes 0-3   the magic word, 0A 23 D7 CE
//	bytes 4-7   little-endian: 3 bits of kind (0 whole, 1 first, 2 middle, 3 last part), 29 bits of length
//	            payload, then zeros up to a multiple of four bytes
//
// Between two parts of a record stands one magic word of the payload, which
// the writer has left out. The SDKs write whole records only, and their readers
// know no other; so does Writer.Write. Reader takes both.
//
// Sources: dmlc-core's recordio.h; sagemaker.serializer_utils of the SageMaker
// Python SDK; "Common Data Formats for Training" in the AWS documentation.
package recordio
