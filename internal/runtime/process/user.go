// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// identity is who a command runs as.
type identity struct {
	UID, GID int
	Groups   []int  // further ones
	Home     string // of its entry in passwd; "/" when it has none
}

// maxAccounts is the largest passwd or group file that is read, in bytes.
const maxAccounts = 4 << 20

// identify finds user, in the form that an image's configuration has (see
// runtime.Task.User), in the passwd and group files of the system below root.
// As with container engines a number needs no entry and then has group 0, and
// a group that is named keeps the user's further groups away.
func identify(root, user string) (identity, error) {
	read := func(path string) ([]byte, error) {
		data, err := readIn(root, path, maxAccounts)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return data, err
	}
	passwd, err := read("/etc/passwd")
	if err != nil {
		return identity{}, fmt.Errorf("find user %q: %w", user, err)
	}
	group, err := read("/etc/group")
	if err != nil {
		return identity{}, fmt.Errorf("find user %q: %w", user, err)
	}
	return identifyIn(string(passwd), string(group), user)
}

// identifyIn is identify on the text of the two files (passwd(5), group(5)).
func identifyIn(passwd, group, user string) (identity, error) {
	who, in, hasGroup := strings.Cut(user, ":")
	if who == "" {
		who = "0"
	}
	id, name, err := account(passwd, who)
	if err != nil {
		return identity{}, err
	}
	if hasGroup && in != "" {
		id.GID, err = groupID(group, in)
		return id, err
	}
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || name == "" || !slices.Contains(strings.Split(f[3], ","), name) {
			continue
		}
		if gid, ok := number(f[2]); ok && gid != id.GID && !slices.Contains(id.Groups, gid) {
			id.Groups = append(id.Groups, gid)
		}
	}
	return id, nil
}

// account finds a user by name or number, and gives the name too, "" when a
// number has no entry.
func account(passwd, who string) (identity, string, error) {
	n, numeric := number(who)
	for line := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 6 {
			continue
		}
		uid, ok1 := number(f[2])
		gid, ok2 := number(f[3])
		if !ok1 || !ok2 || f[0] != who && (!numeric || uid != n) {
			continue
		}
		id := identity{UID: uid, GID: gid, Home: f[5]}
		if !strings.HasPrefix(id.Home, "/") {
			id.Home = "/"
		}
		return id, f[0], nil
	}
	if !numeric {
		return identity{}, "", fmt.Errorf("user %q is not in the image's /etc/passwd", who)
	}
	home := "/"
	if n == 0 {
		home = "/root"
	}
	return identity{UID: n, Home: home}, "", nil
}

func groupID(group, in string) (int, error) {
	n, numeric := number(in)
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 3 || f[0] != in {
			continue
		}
		if gid, ok := number(f[2]); ok {
			return gid, nil
		}
	}
	if !numeric {
		return 0, fmt.Errorf("group %q is not in the image's /etc/group", in)
	}
	return n, nil
}

// number reads a user or group ID. The last of 32 bits means "leave it" to the
// kernel and is none.
func number(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return int(n), err == nil && n < 1<<32-1
}
