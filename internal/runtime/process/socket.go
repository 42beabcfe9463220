// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const (
	socketName = "http.sock"
	// socketInside is where a serving task finds its socket's folder.
	socketInside = "/run/sagebrush"
	// maxSocketPath is the room for a path in sockaddr_un: 108 bytes on Linux,
	// 104 on macOS, with the closing zero.
	maxSocketPath = 103
)

// socketDir makes the host folder in which the task's socket will appear: in
// the task's own folder, or in a short one under /tmp when that path would not
// fit into a socket address.
func socketDir(d taskDir) (string, error) {
	dir := d.path("sock")
	if len(filepath.Join(dir, socketName)) > maxSocketPath {
		base := fmt.Sprintf("/tmp/sagebrush-%d", os.Getuid())
		if err := privateDir(base); err != nil {
			return "", err
		}
		sum := sha256.Sum256([]byte(d))
		dir = filepath.Join(base, hex.EncodeToString(sum[:8]))
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.Mkdir(dir, 0o700)
}

// privateDir makes path a folder that only we can enter. Anybody may write in
// /tmp, so what is found there is not trusted.
func privateDir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not a folder of ours", path)
	}
	if info.Mode().Perm() != 0o700 {
		return fmt.Errorf("%s is open to others: its mode is %#o, not 0700", path, info.Mode().Perm())
	}
	return nil
}
