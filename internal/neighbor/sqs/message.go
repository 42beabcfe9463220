// SPDX-License-Identifier: Apache-2.0

package sqs

import (
	"crypto/md5" //nolint:gosec // what the protocol asks for; it protects nothing
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	wsqs "github.com/sagebrush-ml/sagebrush/internal/wire/sqs"
)

const (
	maxSize       = 1 << 20 // bytes of a message, and of a batch
	maxAttributes = 10
	// maxDigits is how long a Number may be.
	maxDigits = 38
)

// value is a message attribute as the service keeps it, and as it is in the
// table.
type value = wsqs.MessageAttributeValue

func md5Of(text string) string {
	sum := md5.Sum([]byte(text)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}

// md5OfAttributes is the digest that clients check: of each attribute, in the
// order of names, the length and text of name and type, a byte that tells text
// from bytes, and the value with its length. It is "" of none.
//
// Source: Amazon SQS Developer Guide, "Calculating the MD5 message digest for
// message attributes".
func md5OfAttributes(attributes map[string]value) string {
	if len(attributes) == 0 {
		return ""
	}
	h := md5.New() //nolint:gosec // as above
	part := func(b []byte) {
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b)))) //nolint:gosec // messages are smaller than that
		_, _ = h.Write(b)
	}
	for _, name := range sortedKeys(attributes) {
		v := attributes[name]
		part([]byte(name))
		part([]byte(v.DataType))
		if strings.HasPrefix(v.DataType, "Binary") {
			_, _ = h.Write([]byte{2})
			part(v.BinaryValue)
		} else {
			_, _ = h.Write([]byte{1})
			part([]byte(v.StringValue))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	attributeType = regexp.MustCompile(`^(String|Number|Binary)(\.[\x21-\x7e]+)?$`)
)

// checkText refuses what XML 1.0 cannot hold.
func checkText(text string) *fault.Fault {
	for _, r := range text {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
			return refusal("InvalidMessageContents", "Invalid binary character '#x%X' was found in the message body, the set of allowed characters is "+
				"#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF", r)
		}
	}
	return nil
}

// checkAttributes answers the size of the attributes in bytes.
func checkAttributes(attributes map[string]value) (size int, _ *fault.Fault) {
	if n := len(attributes); n > maxAttributes {
		return 0, refusal("InvalidParameterValue", "Number of message attributes [%d] exceeds the allowed maximum [%d].", n, maxAttributes)
	}
	for _, name := range sortedKeys(attributes) {
		v := attributes[name]
		lower := strings.ToLower(name)
		switch {
		case len(name) > 256 || !attributeName.MatchString(name):
			return 0, refusal("InvalidParameterValue", "The message attribute name '%s' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore (_), hyphen (-), and period (.) characters.", name)
		case strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon."):
			return 0, refusal("InvalidParameterValue", "The message attribute name '%s' is reserved for use by the service.", name)
		case len(v.DataType) > 256 || !attributeType.MatchString(v.DataType):
			return 0, refusal("InvalidParameterValue", "The message attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", name)
		case len(v.StringListValues) > 0 || len(v.BinaryListValues) > 0:
			return 0, refusal("UnsupportedOperation", "Message attribute list values in SendMessage operation are not supported.")
		}
		kind, _, _ := strings.Cut(v.DataType, ".")
		field := "StringValue"
		if kind == "Binary" {
			field = "BinaryValue"
		}
		if kind == "Binary" && len(v.BinaryValue) == 0 || kind != "Binary" && v.StringValue == "" {
			return 0, refusal("InvalidParameterValue", "The message attribute '%s' must contain a non-empty value in the field %s for the message attribute type '%s'.", name, field, v.DataType)
		}
		if kind == "Number" && !isNumber(v.StringValue) {
			return 0, refusal("InvalidParameterValue", "Can't cast the value of message attribute '%s' to a number.", name)
		}
		if err := checkText(v.StringValue); err != nil {
			return 0, err
		}
		size += len(name) + len(v.DataType) + len(v.StringValue) + len(v.BinaryValue)
	}
	return size, nil
}

var digits = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$`)

func isNumber(text string) bool {
	if !digits.MatchString(text) || len(text) > 2*maxDigits {
		return false
	}
	f, err := strconv.ParseFloat(text, 64)
	return err == nil && f > -1e126 && f < 1e126
}

// chosen are the attributes whose names a receiver asks for: all, by name, or
// by the head of the name with ".*".
func chosen(attributes map[string]value, names []string) map[string]value {
	out := map[string]value{}
	for name, v := range attributes {
		for _, want := range names {
			head, prefix := strings.CutSuffix(want, ".*")
			if want == "All" || want == ".*" || want == name || prefix && strings.HasPrefix(name, head+".") || prefix && name == head {
				out[name] = v
				break
			}
		}
	}
	return out
}
