// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// A task with a network of its own has nothing but a loopback in it. What it
// may exchange with the machine passes through its parent, which works with
// sockets that init makes inside and hands out: a socket belongs to the network
// in which it was made, whoever uses it. So init, which is in the task's
// memory and processor limits, carries no data.

// announce decides which listeners the parent will have inside, and tells the
// task of the proxy among them.
func (p *parent) announce(pl *plan, env map[string]string) {
	t := p.spec.Task
	if !pl.OwnNet || t.Network != runtime.Open {
		return
	}
	pl.Listen = append(pl.Listen, proxyAddr(t.Port))
	for _, addr := range t.Reach {
		if at, err := netip.ParseAddrPort(addr); err == nil && int(at.Port()) != t.Port {
			pl.Listen = append(pl.Listen, at.String())
		} else {
			fmt.Fprintf(os.Stderr, "the task cannot reach %s: it listens on that port itself\n", addr)
		}
	}
	for k := range t.Env {
		switch strings.ToLower(k) {
		case "http_proxy", "https_proxy", "all_proxy", "no_proxy":
			return // it knows better
		}
	}
	direct := []string{"localhost", "127.0.0.1", "::1"}
	for _, h := range append(t.Hosts, t.Host) {
		if h != "" && h != direct[len(direct)-1] {
			direct = append(direct, h)
		}
	}
	for _, addr := range pl.Listen[1:] {
		if host, _, err := net.SplitHostPort(addr); err == nil && host != "127.0.0.1" {
			direct = append(direct, host)
		}
	}
	for k, v := range map[string]string{"http_proxy": "http://" + pl.Listen[0], "https_proxy": "http://" + pl.Listen[0], "no_proxy": strings.Join(direct, ",")} {
		env[k], env[strings.ToUpper(k)] = v, v // some programs know the one, some the other
	}
}

// proxyAddr is where a task that listens on port finds the proxy: at an
// address of the loopback that nothing else uses.
func proxyAddr(port int) string {
	if port == 3128 {
		return "127.0.0.2:3129"
	}
	return "127.0.0.2:3128"
}

// gate is the parent's end of the line by which init hands out sockets.
type gate struct {
	mu   sync.Mutex
	line *net.UnixConn
}

var errNoSocket = errors.New("init gave no socket")

// newGate takes over f.
func newGate(f *os.File) (*gate, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	line, ok := c.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("the line to init is a %T", c)
	}
	return &gate{line: line}, nil
}

// receive takes the next descriptor that init sends.
func (g *gate) receive() (*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := g.line.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errNoSocket, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errNoSocket, err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "inside"), nil
}

// socket asks for a fresh TCP socket of the task's network.
func (g *gate) socket() (*os.File, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := g.line.Write([]byte{1}); err != nil {
		return nil, err
	}
	return g.receive()
}

// dial connects to a port of the task's loopback.
func (g *gate) dial(port int) (*net.TCPConn, error) {
	f, err := g.socket()
	if err != nil {
		return nil, err
	}
	defer f.Close() // FileConn has its own
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var begun bool
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		if !begun {
			begun = true
			failed = unix.Connect(int(fd), &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
			return !errors.Is(failed, unix.EINPROGRESS)
		}
		var errno int
		if errno, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); failed == nil && errno != 0 {
			failed = syscall.Errno(errno)
		}
		return true
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// openNetwork starts the traffic of a task that has a network of its own: the
// listeners inside that init has made for pl, and the socket outside by which
// it is served. It all ends with this process.
func (p *parent) openNetwork(pl plan) error {
	if p.gate == nil {
		return nil
	}
	for i, addr := range pl.Listen {
		f, err := p.gate.receive()
		if err != nil {
			return fmt.Errorf("listen on %s inside: %w", addr, err)
		}
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return err
		}
		if i == 0 {
			go func() { _ = newOutbound().Serve(l) }()
			continue
		}
		go accept(l, func() (net.Conn, error) { return net.Dial("tcp", addr) }, "")
	}
	return p.openDoor() // from now on init is asked for sockets
}

// openDoor makes the socket outside by which a task is served that listens on a
// port inside. Whoever connects while nobody listens inside is told so
// (runtime.NotListening) and shut out again at once.
func (p *parent) openDoor() error {
	t := p.spec.Task
	if p.spec.SockDir == "" || t.Port == 0 || p.gate == nil {
		return nil
	}
	l, err := net.Listen("unix", filepath.Join(p.spec.SockDir, socketName))
	if err != nil {
		return err
	}
	go accept(l, func() (net.Conn, error) { return p.gate.dial(t.Port) }, runtime.NotListening)
	return nil
}

// accept joins what connects to l with what dial connects to. It says refusal
// where nobody answers there.
func accept(l net.Listener, dial func() (net.Conn, error), refusal string) {
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED) {
				time.Sleep(10 * time.Millisecond) // others are about to end
				continue
			}
			return
		}
		go func() {
			to, err := dial()
			if err != nil {
				_, _ = io.WriteString(c, refusal)
				c.Close()
				return
			}
			join(c, to)
		}()
	}
}

// join passes bytes between two connections until both directions have ended.
// The kernel moves them (splice), where it can, so that none is copied here.
func join(a, b net.Conn) {
	var wg sync.WaitGroup
	pass := func(to, from net.Conn) {
		if _, err := io.Copy(to, from); err != nil {
			to.Close() // there is no way to say so, and nobody to wait for
			from.Close()
			return
		}
		if c, ok := to.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite()
		}
	}
	wg.Go(func() { pass(a, b) })
	pass(b, a)
	wg.Wait()
	a.Close()
	b.Close()
}
