package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"

	"devp2p-interop/geth/eth"

	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/enode"
)

// server is a p2p.Server on loopback, without port mapping, and without discovery unless it is
// asked for.
type server struct {
	p2p  *p2p.Server
	out  *emitter
	test map[string]*testProtocol

	mu    sync.Mutex
	drops map[enode.ID]slog.Record // from the log: why the last session ended
}

func runServer(args []string, in io.Reader, out *emitter) error {
	var (
		set         = flag.NewFlagSet("server", flag.ContinueOnError)
		keyHex      = set.String("key", "", "private key as hex; a fresh one if empty")
		listen      = set.String("listen", "127.0.0.1:0", "TCP address to listen on; none if empty")
		name        = set.String("name", "geth-interop/v1", "client name in Hello")
		maxPeers    = set.Int("maxpeers", 50, "MaxPeers")
		maxPending  = set.Int("maxpending", 0, "MaxPendingPeers; geth's default if 0")
		dialRatio   = set.Int("dialratio", 0, "DialRatio; geth's default if 0")
		noDial      = set.Bool("nodial", false, "NoDial")
		protocols   = set.String("protocols", "itest,itestb", "test subprotocols to run")
		discv4      = set.Bool("discv4", false, "run discovery v4, on the UDP port of the TCP port's number")
		discv5      = set.Bool("discv5", false, "run discovery v5 there; commands are for v4 where both run")
		discAddr    = set.String("discaddr", "", "another UDP address for discovery")
		ethVersions = set.String("eth", "", "versions of eth to run up to Status, as in 68,69")
		static      nodeList
		trusted     nodeList
		bootnodes   nodeList
		ethConfig   eth.Config
	)
	set.Var(&static, "static", "static node, can be repeated")
	set.Var(&trusted, "trusted", "trusted node, can be repeated")
	set.Var(&bootnodes, "bootnode", "bootstrap node of discovery, can be repeated")
	ethConfig.Flags(set)
	if err := set.Parse(args); err != nil {
		return err
	}
	key, err := parseKey(*keyHex)
	if err != nil {
		return err
	}

	s := &server{out: out, test: make(map[string]*testProtocol), drops: make(map[enode.ID]slog.Record)}
	config := p2p.Config{
		PrivateKey:      key,
		Name:            *name,
		ListenAddr:      *listen,
		MaxPeers:        *maxPeers,
		MaxPendingPeers: *maxPending,
		DialRatio:       *dialRatio,
		NoDial:          *noDial,
		NoDiscovery:     !*discv4 && !*discv5,
		DiscoveryV4:     *discv4,
		DiscoveryV5:     *discv5,
		DiscAddr:        *discAddr,
		StaticNodes:     static,
		TrustedNodes:    trusted,
		Logger:          log.NewLogger(&logReader{server: s}),
	}
	if *discv4 {
		config.BootstrapNodes = bootnodes
	}
	if *discv5 {
		config.BootstrapNodesV5 = bootnodes
	}
	for _, name := range split(*protocols) {
		proto := newTestProtocol(name, out)
		s.test[name] = proto
		config.Protocols = append(config.Protocols, proto.protocol())
	}
	for _, version := range split(*ethVersions) {
		proto, err := ethConfig.Protocol(version, func(peer *p2p.Peer, status any) {
			out.emit("status", fields{"id": peer.ID().String(), "version": version, "status": status})
		})
		if err != nil {
			return err
		}
		config.Protocols = append(config.Protocols, proto)
	}
	s.p2p = &p2p.Server{Config: config}
	if err := s.p2p.Start(); err != nil {
		return err
	}
	if udp := s.p2p.DiscoveryV5(); udp != nil {
		udp.RegisterTalkHandler(echoProtocol, echoTalk)
	}
	events := make(chan *p2p.PeerEvent, 256)
	sub := s.p2p.SubscribeEvents(events)
	go s.forward(events)

	self := s.p2p.Self()
	out.emit("ready", fields{
		"enode": self.URLv4(),
		"enr":   self.String(),
		"id":    self.ID().String(),
		"port":  self.TCP(),
	})
	err = commands(in, out, s.handle)
	s.p2p.Stop()
	sub.Unsubscribe()
	out.emit("stopped", nil)
	return err
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

func (s *server) handle(cmd *command) error {
	switch cmd.Cmd {
	case "dial", "removepeer", "trust", "untrust":
		node, err := enode.Parse(enode.ValidSchemes, cmd.Enode)
		if err != nil {
			return err
		}
		switch cmd.Cmd {
		case "dial":
			s.p2p.AddPeer(node)
		case "removepeer":
			// It blocks until the peer is gone, which must not hold up further commands.
			go s.p2p.RemovePeer(node)
		case "trust":
			s.p2p.AddTrustedPeer(node)
		case "untrust":
			s.p2p.RemoveTrustedPeer(node)
		}
		return nil
	case "peers":
		s.out.emit("peers", fields{"peers": s.p2p.PeersInfo()})
		return nil
	case "disconnect":
		peer := s.peer(cmd.ID)
		if peer == nil {
			return fmt.Errorf("no peer %s", cmd.ID)
		}
		peer.Disconnect(p2p.DiscReason(cmd.Reason))
		return nil
	case "send", "echo", "return":
		proto := s.test[cmd.Proto]
		if proto == nil {
			return fmt.Errorf("no protocol %s", cmd.Proto)
		}
		return proto.handle(cmd)
	default:
		if udp := s.p2p.DiscoveryV5(); udp != nil && s.p2p.DiscoveryV4() == nil {
			return handleDiscoveryV5(udp, s.p2p.LocalNode(), cmd, s.out)
		}
		return handleDiscovery(s.p2p.DiscoveryV4(), s.p2p.LocalNode(), cmd, s.out)
	}
}

func (s *server) peer(id string) *p2p.Peer {
	for _, peer := range s.p2p.Peers() {
		if peer.ID().String() == id {
			return peer
		}
	}
	return nil
}

// forward turns the server's events into lines.
func (s *server) forward(events <-chan *p2p.PeerEvent) {
	for ev := range events {
		switch ev.Type {
		case p2p.PeerEventTypeAdd:
			f := fields{"id": ev.Peer.String(), "remote": ev.RemoteAddress}
			// A session that has already ended has nothing more to tell.
			if peer := s.peer(ev.Peer.String()); peer != nil {
				info := peer.Info()
				f["name"] = info.Name
				f["caps"] = info.Caps
				f["inbound"] = info.Network.Inbound
				f["trusted"] = info.Network.Trusted
				f["static"] = info.Network.Static
			}
			s.out.emit("peer_add", f)
		case p2p.PeerEventTypeDrop:
			s.dropped(ev)
		}
	}
}

// dropped reports the end of a session. The event has the error's text alone; the log tells the
// reason's number and which side asked for it.
func (s *server) dropped(ev *p2p.PeerEvent) {
	f := fields{"id": ev.Peer.String(), "error": ev.Error}
	// The server's loop writes the log; any call that passes through the loop waits for that.
	s.p2p.PeerCount()
	s.mu.Lock()
	record, ok := s.drops[ev.Peer]
	delete(s.drops, ev.Peer)
	s.mu.Unlock()
	if ok {
		record.Attrs(func(a slog.Attr) bool {
			switch v := a.Value.Any().(type) {
			case p2p.DiscReason:
				f["reason"] = uint8(v)
			case bool:
				f["by_remote"] = v
			}
			return true
		})
	}
	s.out.emit("peer_drop", f)
}

// logReader picks out of geth's log what its events do not tell: how sessions ended and why
// connections were given up before they were sessions.
type logReader struct {
	server *server
	attrs  []slog.Attr
}

func (h *logReader) Enabled(context.Context, slog.Level) bool { return true }

func (h *logReader) WithGroup(string) slog.Handler { return h }

func (h *logReader) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logReader{server: h.server, attrs: append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

func (h *logReader) Handle(_ context.Context, record slog.Record) error {
	s := h.server
	switch record.Message {
	case "Removing p2p peer":
		record.Attrs(func(a slog.Attr) bool {
			if id, ok := a.Value.Any().(enode.ID); ok {
				s.mu.Lock()
				s.drops[id] = record
				s.mu.Unlock()
			}
			return true
		})
	case "Rejected peer", "Failed p2p handshake", "Failed RLPx handshake", "Wrong devp2p handshake identity",
		"Setting up connection failed", "Dial error", "Starting p2p dial", "Rejected inbound connection":
		f := fields{"log": record.Message}
		read := func(a slog.Attr) bool {
			switch v := a.Value.Any().(type) {
			case enode.ID:
				f["id"] = v.String()
			case net.Addr:
				f["remote"] = v.String()
			case p2p.DiscReason:
				f["reason"] = uint8(v)
				f["error"] = v.Error()
			case error:
				f["error"] = v.Error()
			default:
				f[a.Key] = fmt.Sprint(v)
			}
			return true
		}
		for _, a := range h.attrs {
			read(a)
		}
		record.Attrs(read)
		s.out.emit("setup", f)
	default:
		discoveryEvent(s.out, false, record)
	}
	return nil
}
