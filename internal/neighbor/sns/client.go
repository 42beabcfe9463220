// SPDX-License-Identifier: Apache-2.0

package sns

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// tryLasts is how long an endpoint may take to answer; the service's own limit.
const tryLasts = 15 * time.Second

// errBarred is an address that nothing is delivered to.
var errBarred = errors.New("the address is barred")

// guard knows the addresses that nothing is delivered to.
type guard struct{ own func(netip.AddrPort) bool }

// check is errBarred with a reason. The addresses that are link-local have the
// credentials of machines in clouds.
func (g guard) check(to netip.AddrPort) error {
	ip := to.Addr().Unmap()
	switch {
	case ip.IsLinkLocalUnicast() || ip.IsMulticast():
		return fmt.Errorf("%w: %s is link-local or multicast", errBarred, ip)
	case g.own(netip.AddrPortFrom(ip, to.Port())):
		return fmt.Errorf("%w: %s is this server itself", errBarred, to)
	}
	return nil
}

// newClient makes the client of all endpoints. The check is made where a
// connection is opened, after names were looked up. There is no proxy: what a
// proxy connects to could not be checked.
func newClient(own func(netip.AddrPort) bool) *http.Client {
	g := guard{own}
	d := &net.Dialer{Timeout: tryLasts, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return g.check(to)
	}}
	return &http.Client{
		Timeout:       tryLasts,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: guarded{guard: g, Transport: &http.Transport{DialContext: d.DialContext, TLSHandshakeTimeout: tryLasts, MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, DisableCompression: true}},
	}
}

// guarded is a transport that can tell what its guard says.
type guarded struct {
	*http.Transport
	guard guard
}

// barred tells why an address must not be an endpoint, or nil.
func (s *Service) barred(ip netip.Addr, port uint16) error {
	return s.client.Transport.(guarded).guard.check(netip.AddrPortFrom(ip, port))
}

func portOf(u *url.URL) uint16 {
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		return uint16(n)
	}
	if u.Scheme == "https" {
		return 443
	}
	return 80
}

// outcome is how a delivery went: well, badly for now, or badly for ever.
type outcome struct {
	err   error // nil: delivered
	final bool  // trying again cannot help
}

// answered reads the outcome from an endpoint's answer. As with AWS, an answer
// of 5xx or 429 is tried again, and any other below 200 or from 300 on never.
func answered(r *http.Response, err error) outcome {
	if err != nil {
		return outcome{err, errors.Is(err, errBarred)}
	}
	defer r.Body.Close()
	_, _ = io.CopyN(io.Discard, r.Body, 64<<10) // so that the connection can be used again; more than that is not worth it
	switch c := r.StatusCode; {
	case c >= 200 && c < 300:
		return outcome{}
	default:
		return outcome{fmt.Errorf("the endpoint answered %s", r.Status), c >= 300 && c < 500 && c != http.StatusTooManyRequests}
	}
}
