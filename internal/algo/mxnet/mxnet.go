// SPDX-License-Identifier: Apache-2.0

// Package mxnet is the artifact of Amazon's algorithms that were MXNet networks:
// a zip of a symbol, which is the network as MXNet saves it, of its arrays (see
// ndarray), and of what else there is to tell. MXNet's Module.load runs it.
package mxnet

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/ndarray"
)

// FileName is the name of the zip in the model folder.
const FileName = "model_algo-1"

// File is one file of the zip.
type File struct {
	Name    string
	Content []byte
}

// Save writes the zip of files into the folder dir. The same files give the same
// bytes.
func Save(dir string, files ...File) error {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		out, err := z.CreateHeader(&zip.FileHeader{Name: f.Name, Method: zip.Store}) // without a time
		if err != nil {
			return err
		}
		if _, err := out.Write(f.Content); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, FileName), b.Bytes(), 0o644)
}

// Load reads the zip of a model folder. A folder without it is a client error.
func Load(artifacts fs.FS) ([]File, error) {
	b, err := fs.ReadFile(artifacts, FileName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, algo.ClientErrorf("the model folder holds no file %s", FileName)
	} else if err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	files, err := Unzip(b)
	if err != nil {
		return nil, algo.ClientErrorf("%s: %w", FileName, err)
	}
	return files, nil
}

// Parts takes files apart: the JSON of the file that is called about, into into,
// the network's symbol and the arrays of its parameters. What is not there stays
// as it is.
func Parts(files []File, about string, into any) (symbol string, arrays map[string]ndarray.Array, err error) {
	for _, f := range files {
		switch {
		case f.Name == about:
			err = json.Unmarshal(f.Content, into)
		case strings.HasSuffix(f.Name, "symbol.json"):
			symbol = string(f.Content)
		case strings.HasSuffix(f.Name, "params"): // or mx-mod-0000.params
			arrays, err = ndarray.Named(f.Content)
		}
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return symbol, arrays, nil
}

// most is how many bytes the files of a zip may have together.
const most = 16 << 30

// Unzip gives the files of a zip.
func Unzip(b []byte) ([]File, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("is not a zip file: %w", err)
	}
	var files []File
	left := int64(most)
	for _, f := range z.File {
		content, err := open(f, left)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		left -= int64(len(content))
		files = append(files, File{f.Name, content})
	}
	return files, nil
}

func open(f *zip.File, most int64) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	content, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(content)) > most {
		err = errors.New("is too large")
	}
	return content, err
}

// Node is an operation of a network, or one of its arguments: then Op is empty.
type Node struct {
	Op, Name string
	Attrs    map[string]string
	Inputs   []string // names of nodes before it
}

// Symbol is the network of nodes, whose result is the last one, as MXNet 1.x
// saves it.
func Symbol(nodes ...Node) []byte {
	type saved struct {
		Op     string            `json:"op"`
		Name   string            `json:"name"`
		Attrs  map[string]string `json:"attrs,omitempty"`
		Inputs [][3]int          `json:"inputs"`
	}
	at := map[string]int{}
	var all []saved
	arguments, ends := []int{}, []int{0}
	for i, n := range nodes {
		at[n.Name] = i
		s := saved{n.Op, n.Name, n.Attrs, [][3]int{}}
		if n.Op == "" {
			s.Op = "null"
			arguments = append(arguments, i)
		}
		for _, name := range n.Inputs {
			from, ok := at[name]
			if !ok {
				panic("mxnet: no node " + name + " before " + n.Name)
			}
			s.Inputs = append(s.Inputs, [3]int{from, 0, 0})
		}
		all, ends = append(all, s), append(ends, i+1)
	}
	b, err := json.MarshalIndent(map[string]any{
		"nodes": all, "arg_nodes": arguments, "node_row_ptr": ends, "heads": [][3]int{{len(nodes) - 1, 0, 0}},
		"attrs": map[string][]any{"mxnet_version": {"int", 10300}}, // 1.3.0, whose form this is
	}, "", "  ")
	if err != nil { // text and numbers
		panic(err)
	}
	return b
}
