// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// HostName is the name by which a container finds this machine.
const HostName = "host.docker.internal"

// maxHosts is how many hosts have an address in the smallest network that
// engines give by default, beside the bridge's own.
const maxHosts = 200

// Gateway is the address of this machine at which containers reach it,
// "172.17.0.1": the server must listen there too if tasks shall reach it (see
// runtime.Task.Reach). It is "" where the engine passes connections to HostName
// on to the machine's loopback, as Docker Desktop does.
func (r *Runtime) Gateway(ctx context.Context) (string, error) {
	engine, err := r.engine(ctx)
	if err != nil {
		return "", err
	}
	if engine.desktop {
		return "", nil
	}
	res, err := r.api.NetworkInspect(ctx, network.NetworkBridge, client.NetworkInspectOptions{})
	if err != nil {
		return "", fmt.Errorf("look for the address of the container engine's bridge: %w", err)
	}
	for _, c := range res.Network.IPAM.Config {
		if c.Gateway.Is4() {
			return c.Gateway.String(), nil
		}
		// Engines that were given no address for it tell the subnet only.
		if c.Subnet.IsValid() && c.Subnet.Addr().Is4() {
			return c.Subnet.Masked().Addr().Next().String(), nil
		}
	}
	return "", errors.New("look for the address of the container engine's bridge: it has none")
}

// reachable is the task's environment with each loopback address of t.Reach
// replaced by one that leads there from inside.
func (r *Runtime) reachable(ctx context.Context, t runtime.Task) (map[string]string, error) {
	env := maps.Clone(t.Env)
	if env == nil {
		env = map[string]string{}
	}
	if t.Network == runtime.None || len(t.Reach) == 0 {
		return env, nil
	}
	gateway, err := r.Gateway(ctx)
	if err != nil {
		return nil, err
	}
	if gateway == "" {
		gateway = HostName
	}
	for _, addr := range t.Reach {
		at, err := netip.ParseAddrPort(addr)
		if err != nil || !at.Addr().IsLoopback() {
			continue
		}
		for k, v := range env {
			for _, host := range []string{at.Addr().String(), "localhost"} {
				v = replaceAddr(v, net.JoinHostPort(host, strconv.Itoa(int(at.Port()))), net.JoinHostPort(gateway, strconv.Itoa(int(at.Port()))))
			}
			env[k] = v
		}
	}
	return env, nil
}

// replaceAddr replaces the address from in text by to, where it stands alone:
// "127.0.0.1:80" is no part of "127.0.0.1:8080".
func replaceAddr(text, from, to string) string {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(text, from)
		if !ok {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(before)
		part := after != "" && after[0] >= '0' && after[0] <= '9'
		if n := len(before); n > 0 && (before[n-1] == '.' || before[n-1] == '-' || before[n-1] >= '0' && before[n-1] <= '9' || before[n-1] >= 'a' && before[n-1] <= 'z') {
			part = true
		}
		if part {
			b.WriteString(from)
		} else {
			b.WriteString(to)
		}
		text = after
	}
}

// networkOf names the network that is made for t; "" when it needs none.
func (r *Runtime) networkOf(t runtime.Task) string {
	several, serves := len(t.Hosts) > 1, t.Serves && t.Network == runtime.None
	if !several && !serves {
		return ""
	}
	key := "task " + string(t.ID)
	if several {
		key = "group " + t.Group
	}
	sum := sha256.Sum256([]byte(key))
	return "sagebrush-" + r.home + "-net-" + hex.EncodeToString(sum[:6])
}

// connect makes the task's network, if it has one of its own, and says in conf
// and host how it takes part.
func (r *Runtime) connect(ctx context.Context, t runtime.Task, conf *container.Config, host *container.HostConfig) (*network.NetworkingConfig, error) {
	name := r.networkOf(t)
	conf.Labels[labelNet] = name
	if t.Serves {
		port, ok := network.PortFrom(uint16(t.Port), network.TCP) //nolint:gosec // checkNetwork has seen to its range
		if !ok {
			return nil, fmt.Errorf("%d is no port", t.Port)
		}
		conf.Labels[labelPort] = strconv.Itoa(t.Port)
		conf.ExposedPorts = network.PortSet{port: {}}
		if t.Network == runtime.Open {
			host.PortBindings = network.PortMap{port: {{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}}}
		}
	}
	switch {
	case name != "":
		host.NetworkMode = container.NetworkMode(name)
	case t.Network == runtime.None:
		host.NetworkMode = network.NetworkNone
		host.ExtraHosts = nil
		for _, h := range append(t.Hosts[:len(t.Hosts):len(t.Hosts)], conf.Hostname) {
			if h != "localhost" && !slices.Contains(host.ExtraHosts, h+":127.0.0.1") {
				host.ExtraHosts = append(host.ExtraHosts, h+":127.0.0.1")
			}
		}
		return nil, nil
	default:
		host.NetworkMode = network.NetworkBridge
		return nil, nil
	}
	if t.Network == runtime.None {
		// The engine's own name server would pass questions on to the machine's.
		host.DNS = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1})} // of no machine (RFC 5737)
		host.ExtraHosts = nil
	}
	subnet, err := r.ensureNetwork(ctx, name, t.Network == runtime.None)
	if err != nil {
		return nil, fmt.Errorf("network of group %q: %w", t.Group, err)
	}
	end := &network.EndpointSettings{}
	for i, h := range t.Hosts {
		if len(t.Hosts) < 2 {
			break
		}
		addr := hostAddr(subnet, i)
		if !subnet.Contains(addr) {
			return nil, fmt.Errorf("network %s is too small for %d hosts", subnet, len(t.Hosts))
		}
		if h != t.Host {
			host.ExtraHosts = append(host.ExtraHosts, h+":"+addr.String())
			continue
		}
		end.Aliases, end.IPAMConfig = []string{h}, &network.EndpointIPAMConfig{IPv4Address: addr}
	}
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{name: end}}, nil
}

// hostAddr is the address of a group's host: the first is the bridge's.
func hostAddr(subnet netip.Prefix, i int) netip.Addr {
	a := subnet.Masked().Addr().Next()
	for range i + 1 {
		a = a.Next()
	}
	return a
}

// ensureNetwork makes the network unless it is there, and gives its subnet.
// Addresses can be chosen in a network only if its subnet was. So the engine is
// asked for a network first, to learn which subnet is free, and then for one
// with that very subnet.
func (r *Runtime) ensureNetwork(ctx context.Context, name string, internal bool) (netip.Prefix, error) {
	r.networks.Lock()
	defer r.networks.Unlock()
	res, err := r.api.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
	if err == nil {
		return subnetOf(res.Network.IPAM)
	}
	if !errdefs.IsNotFound(err) {
		return netip.Prefix{}, err
	}
	opts := client.NetworkCreateOptions{Driver: "bridge", Internal: internal, Labels: map[string]string{labelHome: r.home, labelNet: name}}
	try := name + "-try"
	if _, err := r.api.NetworkRemove(ctx, try, client.NetworkRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
		return netip.Prefix{}, err
	}
	if _, err := r.api.NetworkCreate(ctx, try, opts); err != nil {
		return netip.Prefix{}, err
	}
	res, err = r.api.NetworkInspect(ctx, try, client.NetworkInspectOptions{})
	if _, err2 := r.api.NetworkRemove(ctx, try, client.NetworkRemoveOptions{}); err == nil {
		err = err2
	}
	if err != nil {
		return netip.Prefix{}, err
	}
	subnet, err := subnetOf(res.Network.IPAM)
	if err != nil {
		return netip.Prefix{}, err
	}
	opts.IPAM = &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet, Gateway: subnet.Masked().Addr().Next()}}}
	_, err = r.api.NetworkCreate(ctx, name, opts)
	return subnet, err
}

func subnetOf(ipam network.IPAM) (netip.Prefix, error) {
	for _, c := range ipam.Config {
		if c.Subnet.IsValid() && c.Subnet.Addr().Is4() {
			return c.Subnet.Masked(), nil
		}
	}
	return netip.Prefix{}, errors.New("it has no IPv4 subnet")
}

// dropNetwork removes the network when no container of ours is of it any more.
func (r *Runtime) dropNetwork(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	r.networks.Lock()
	defer r.networks.Unlock()
	// A container that was made and not started is of it, but not in it.
	list, err := r.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: r.ours().Add("label", labelNet+"="+name)})
	if err != nil || slices.ContainsFunc(list.Items, func(c container.Summary) bool { return c.Labels[labelNet] == name }) {
		return err
	}
	if _, err := r.api.NetworkRemove(ctx, name, client.NetworkRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return nil
}

// addr is where a running task serves.
func addr(c container.InspectResponse) string {
	port, err := network.ParsePort(c.Config.Labels[labelPort] + "/tcp")
	if err != nil || c.NetworkSettings == nil {
		return ""
	}
	for _, b := range c.NetworkSettings.Ports[port] {
		if b.HostPort != "" {
			return "tcp://" + net.JoinHostPort("127.0.0.1", b.HostPort)
		}
	}
	if n := c.NetworkSettings.Networks[c.Config.Labels[labelNet]]; n != nil && n.IPAddress.IsValid() {
		return "tcp://" + net.JoinHostPort(n.IPAddress.String(), port.Port())
	}
	return ""
}
