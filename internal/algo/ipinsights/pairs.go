// SPDX-License-Identifier: Apache-2.0

package ipinsights

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
)

// pair is an entity, by its row of the table, and an address that it used.
type pair struct{ entity, ip uint32 }

// rowOf is the row of a table of so many that an entity is hashed to.
func rowOf(entity []byte, rows int) uint32 {
	h := fnv.New64a()
	_, _ = h.Write(entity) // cannot fail
	x := h.Sum64()
	return uint32((x ^ x>>32) % uint64(rows))
}

// parseIP reads an IPv4 address.
func parseIP(text []byte) (uint32, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(string(text)))
	if err != nil || !a.Is4() {
		return 0, fmt.Errorf("%.40q is not an IPv4 address", text)
	}
	b := a.As4()
	return binary.BigEndian.Uint32(b[:]), nil
}

// parsePair reads a line: the entity, which may be quoted and hold commas, and
// the address.
func parsePair(line []byte, rows int) (pair, error) {
	comma := bytes.LastIndexByte(line, ',')
	if comma < 0 {
		return pair{}, errors.New("has one column; an entity and an IPv4 address were expected")
	}
	entity, address := bytes.TrimSpace(line[:comma]), bytes.Trim(bytes.TrimSpace(line[comma+1:]), `"`)
	if n := len(entity); n >= 2 && entity[0] == '"' && entity[n-1] == '"' {
		entity = bytes.ReplaceAll(entity[1:n-1], []byte(`""`), []byte(`"`))
	} else if bytes.IndexByte(entity, ',') >= 0 {
		return pair{}, fmt.Errorf("has %d columns; an entity and an IPv4 address were expected", bytes.Count(line, []byte{','})+1)
	}
	if len(entity) == 0 {
		return pair{}, errors.New("has no entity; an entity and an IPv4 address were expected")
	}
	ip, err := parseIP(address)
	return pair{rowOf(entity, rows), ip}, err
}

// load reads a channel; of several hosts all get the pairs of all.
func load(ctx context.Context, in algo.Input, name string) ([]pair, error) {
	ch := in.Channels[name]
	if ch == nil {
		return nil, nil
	}
	own, err := read(ch, in.Params.Int("num_entity_vectors"))
	if errors.Is(err, data.ErrNoRows) && in.Peers.Size() > 1 {
		err = nil
	}
	if err != nil || in.Peers.Size() == 1 {
		return own, err
	}
	if !ch.Sharded { // each has all; what is heard is that every host could read it
		_, err := in.Peers.AllGather(ctx, nil)
		return own, err
	}
	b := make([]byte, 0, 8*len(own))
	for _, p := range own {
		b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, p.entity), p.ip)
	}
	parts, err := in.Peers.AllGather(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("gather the %s channel: %w", name, err)
	}
	var all []pair
	for _, b := range parts {
		for ; len(b) >= 8; b = b[8:] {
			all = append(all, pair{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])})
		}
	}
	if len(all) == 0 {
		return nil, algo.ClientErrorf("%s channel: %w on any host", name, data.ErrNoRows)
	}
	return all, nil
}

// read reads the files of a channel.
func read(ch *algo.Channel, rows int) ([]pair, error) {
	if f, params, ok := data.ParseType(ch.ContentType); strings.TrimSpace(ch.ContentType) != "" && (!ok || f != data.CSV || params["label_size"] != "" && params["label_size"] != "0") {
		return nil, algo.ClientErrorf("%s channel: %s is not an accepted ContentType: text/csv", ch.Name, ch.ContentType)
	}
	texts, release, err := data.OpenText(ch, 0)
	if err != nil {
		return nil, err
	}
	defer release()
	var pairs []pair
	for _, text := range texts {
		for at := 0; at < len(text.Bytes); {
			line, _, _ := bytes.Cut(text.Bytes[at:], []byte{'\n'})
			if len(bytes.TrimSpace(line)) > 0 {
				p, err := parsePair(line, rows)
				if err != nil {
					hint := ""
					if at == 0 && bytes.IndexByte(line, ',') >= 0 && !bytes.ContainsAny(line, "0123456789") {
						hint = "; it looks like a header line, and a CSV must have none"
					}
					return nil, algo.ClientErrorf("%s channel: %s: %w%s", ch.Name, text.Place(at), err, hint)
				}
				pairs = append(pairs, p)
			}
			at += len(line) + 1
		}
	}
	if len(pairs) == 0 {
		return nil, algo.ClientErrorf("%s channel: %w", ch.Name, data.ErrNoRows)
	}
	return pairs, nil
}
