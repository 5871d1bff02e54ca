package main

import (
	"context"
	"crypto/ecdsa"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"
)

// randomNodesTimeout bounds the command "randomnodes".
const randomNodesTimeout = 30 * time.Second

// discovery is go-ethereum's discovery v4 alone, without a server.
type discovery struct {
	key    *ecdsa.PrivateKey
	out    *emitter
	config discover.Config
	tcp    int

	// They outlive a restart, like the files of a node.
	db    *enode.DB
	local *enode.LocalNode

	udp *discover.UDPv4
}

func runDiscovery(args []string, in io.Reader, out *emitter) error {
	var (
		set       = flag.NewFlagSet("discv4", flag.ContinueOnError)
		keyHex    = set.String("key", "", "private key as hex; a fresh one if empty")
		listen    = set.String("listen", "127.0.0.1:0", "UDP address to listen on")
		tcp       = set.Int("tcp", 0, "TCP port to claim; none if 0")
		ping      = set.Duration("ping", 0, "PingInterval; geth's default if 0")
		refresh   = set.Duration("refresh", 0, "RefreshInterval; geth's default if 0")
		packets   = set.Bool("packets", false, "give an event for every packet")
		bootnodes nodeList
	)
	set.Var(&bootnodes, "bootnode", "bootstrap node, can be repeated")
	if err := set.Parse(args); err != nil {
		return err
	}
	key, err := parseKey(*keyHex)
	if err != nil {
		return err
	}
	db, err := enode.OpenDB("")
	if err != nil {
		return err
	}
	defer db.Close()

	d := &discovery{
		key: key,
		out: out,
		tcp: *tcp,
		config: discover.Config{
			PrivateKey:      key,
			Bootnodes:       bootnodes,
			PingInterval:    *ping,
			RefreshInterval: *refresh,
			Log:             log.NewLogger(&discoveryLog{out: out, packets: *packets}),
		},
		db:    db,
		local: enode.NewLocalNode(db, key),
	}
	if err := d.start(*listen); err != nil {
		return err
	}
	err = commands(in, out, d.handle)
	d.udp.Close()
	out.emit("stopped", nil)
	return err
}

func (d *discovery) start(listen string) error {
	addr, err := net.ResolveUDPAddr("udp", listen)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return err
	}
	addr = conn.LocalAddr().(*net.UDPAddr)
	d.local.SetStaticIP(addr.IP)
	d.local.SetFallbackUDP(addr.Port)
	if d.tcp != 0 {
		d.local.Set(enr.TCP(d.tcp))
	}
	if d.udp, err = discover.ListenV4(conn, d.local, d.config); err != nil {
		return err
	}
	self := d.udp.Self()
	d.out.emit("ready", fields{
		"enode": self.URLv4(),
		"enr":   self.String(),
		"id":    self.ID().String(),
		"port":  addr.Port,
	})
	return nil
}

func (d *discovery) handle(cmd *command) error {
	if cmd.Cmd == "restart" {
		d.udp.Close()
		return d.start(cmd.Listen)
	}
	return handleDiscovery(d.udp, d.local, cmd, d.out)
}

// handleDiscovery runs a command that asks for an answer, beside those that follow it.
func handleDiscovery(udp *discover.UDPv4, local *enode.LocalNode, cmd *command, out *emitter) error {
	if udp == nil {
		return errors.New("discovery is off")
	}
	run, ok := discoveryCommands[cmd.Cmd]
	if !ok {
		return errors.New("unknown command")
	}
	go answer(cmd, out, func() (any, error) { return run(udp, local, cmd) })
	return nil
}

// answer gives what run comes to as the answer to a command.
func answer(cmd *command, out *emitter, run func() (any, error)) {
	result, err := run()
	f := fields{"call": cmd.Call, "result": result}
	if err != nil {
		f["error"] = err.Error()
	}
	out.emit("answer", f)
}

var discoveryCommands = map[string]func(*discover.UDPv4, *enode.LocalNode, *command) (any, error){
	"ping": func(udp *discover.UDPv4, _ *enode.LocalNode, cmd *command) (any, error) {
		node, err := enode.Parse(enode.ValidSchemes, cmd.Enode)
		if err != nil {
			return nil, err
		}
		start := time.Now()
		pong, err := udp.Ping(node)
		if err != nil {
			return nil, err
		}
		return fields{
			"micros":  time.Since(start).Microseconds(),
			"enr_seq": pong.ENRSeq,
			"to":      net.JoinHostPort(pong.To.IP.String(), fmt.Sprint(pong.To.UDP)),
		}, nil
	},
	// A whole lookup for the key of a node.
	"lookup": func(udp *discover.UDPv4, _ *enode.LocalNode, cmd *command) (any, error) {
		node, err := enode.Parse(enode.ValidSchemes, cmd.Enode)
		if err != nil {
			return nil, err
		}
		return describe(udp.LookupPubkey(node.Pubkey())), nil
	},
	// The first nodes of random lookups, some of them again and again.
	"randomnodes": func(udp *discover.UDPv4, _ *enode.LocalNode, cmd *command) (any, error) {
		it := udp.RandomNodes()
		timer := time.AfterFunc(randomNodesTimeout, it.Close)
		defer timer.Stop()
		defer it.Close()
		var nodes []*enode.Node
		for len(nodes) < cmd.Count && it.Next() {
			nodes = append(nodes, it.Node())
		}
		if len(nodes) < cmd.Count {
			return nil, fmt.Errorf("%d nodes in %v", len(nodes), randomNodesTimeout)
		}
		return describe(nodes), nil
	},
	"resolve": func(udp *discover.UDPv4, _ *enode.LocalNode, cmd *command) (any, error) {
		node, err := enode.Parse(enode.ValidSchemes, cmd.Enode)
		if err != nil {
			return nil, err
		}
		return describeNode(udp.Resolve(node)), nil
	},
	"requestenr": func(udp *discover.UDPv4, _ *enode.LocalNode, cmd *command) (any, error) {
		node, err := enode.Parse(enode.ValidSchemes, cmd.Enode)
		if err != nil {
			return nil, err
		}
		if node, err = udp.RequestENR(node); err != nil {
			return nil, err
		}
		return describeNode(node), nil
	},
	"table": func(udp *discover.UDPv4, _ *enode.LocalNode, _ *command) (any, error) {
		entries := make([]fields, 0)
		for _, bucket := range udp.TableBuckets() {
			for _, n := range bucket {
				f := describeNode(n.Node)
				f["live"], f["checks"] = n.Live, n.Checks
				entries = append(entries, f)
			}
		}
		return entries, nil
	},
	"self": func(udp *discover.UDPv4, _ *enode.LocalNode, _ *command) (any, error) {
		return describeNode(udp.Self()), nil
	},
	// Sets an entry of the own record to a string of bytes.
	"set": func(udp *discover.UDPv4, local *enode.LocalNode, cmd *command) (any, error) {
		value, err := hex.DecodeString(cmd.Hex)
		if err != nil {
			return nil, err
		}
		local.Set(enr.WithEntry(cmd.Key, value))
		return describeNode(udp.Self()), nil
	},
}

func describe(nodes []*enode.Node) []fields {
	described := make([]fields, 0, len(nodes))
	for _, n := range nodes {
		described = append(described, describeNode(n))
	}
	return described
}

// describeNode tells of a node; one that is known by its URL alone has no record.
func describeNode(n *enode.Node) fields {
	f := fields{"enode": n.URLv4(), "seq": n.Seq()}
	if text := n.String(); strings.HasPrefix(text, "enr:") {
		f["enr"] = text
	}
	return f
}

// discoveryLog makes events of geth's log: nodes that answered, nodes that went, and packets.
type discoveryLog struct {
	out     *emitter
	packets bool
}

func (h *discoveryLog) Enabled(context.Context, slog.Level) bool { return true }

func (h *discoveryLog) WithGroup(string) slog.Handler { return h }

func (h *discoveryLog) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h *discoveryLog) Handle(_ context.Context, record slog.Record) error {
	discoveryEvent(h.out, h.packets, record)
	return nil
}

// discoveryEvent tells what a line of geth's log says about discovery, if it does.
func discoveryEvent(out *emitter, packets bool, record slog.Record) {
	f := make(fields)
	record.Attrs(func(a slog.Attr) bool {
		switch v := a.Value.Any().(type) {
		case error:
			f["error"] = v.Error()
		case nil:
		default:
			f[a.Key] = fmt.Sprint(v)
		}
		return true
	})
	switch record.Message {
	case "Node revalidated":
		out.emit("node_verified", f)
	case "Removed dead node", "Replaced dead node":
		out.emit("node_removed", f)
	case "Bad discv4 packet", "Bad discv5 packet":
		out.emit("bad_packet", f)
	default:
		kind, isSent := strings.CutPrefix(record.Message, ">> ")
		kind, isReceived := strings.CutPrefix(kind, "<< ")
		if !isSent && !isReceived {
			return
		}
		f["kind"], f["sent"] = kind, isSent
		if _, failed := f["error"]; packets || failed {
			out.emit("packet", f)
		}
	}
}
