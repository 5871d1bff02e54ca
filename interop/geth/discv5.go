package main

import (
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"net"
	"time"

	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"
)

// echoProtocol is the talk protocol whose answers are the requests.
const echoProtocol = "echo"

func echoTalk(_ *enode.Node, _ *net.UDPAddr, request []byte) []byte { return request }

// runDiscoveryV5 runs go-ethereum's discovery v5 alone, without a server.
func runDiscoveryV5(args []string, in io.Reader, out *emitter) error {
	var (
		set       = flag.NewFlagSet("discv5", flag.ContinueOnError)
		keyHex    = set.String("key", "", "private key as hex; a fresh one if empty")
		listen    = set.String("listen", "127.0.0.1:0", "UDP address to listen on")
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
	addr, err := net.ResolveUDPAddr("udp", *listen)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return err
	}
	addr = conn.LocalAddr().(*net.UDPAddr)
	db, err := enode.OpenDB("")
	if err != nil {
		return err
	}
	defer db.Close()
	local := enode.NewLocalNode(db, key)
	local.SetStaticIP(addr.IP)
	local.SetFallbackUDP(addr.Port)
	udp, err := discover.ListenV5(conn, local, discover.Config{
		PrivateKey:      key,
		Bootnodes:       bootnodes,
		PingInterval:    *ping,
		RefreshInterval: *refresh,
		Log:             log.NewLogger(&discoveryLog{out: out, packets: *packets}),
	})
	if err != nil {
		return err
	}
	udp.RegisterTalkHandler(echoProtocol, echoTalk)
	out.emit("ready", fields{"enr": udp.Self().String(), "port": addr.Port})
	err = commands(in, out, func(cmd *command) error {
		return handleDiscoveryV5(udp, local, cmd, out)
	})
	udp.Close()
	out.emit("stopped", nil)
	return err
}

// handleDiscoveryV5 runs a command that asks for an answer, beside those that follow it.
func handleDiscoveryV5(udp *discover.UDPv5, local *enode.LocalNode, cmd *command, out *emitter) error {
	run, ok := discoveryV5Commands[cmd.Cmd]
	if !ok {
		return errors.New("unknown command")
	}
	go answer(cmd, out, func() (any, error) { return run(udp, local, cmd) })
	return nil
}

var discoveryV5Commands = map[string]func(*discover.UDPv5, *enode.LocalNode, *command) (any, error){
	"self": func(udp *discover.UDPv5, _ *enode.LocalNode, _ *command) (any, error) {
		return udp.Self().String(), nil
	},
	// Sets an entry of the own record to a string of bytes.
	"set": func(udp *discover.UDPv5, local *enode.LocalNode, cmd *command) (any, error) {
		value, err := hex.DecodeString(cmd.Hex)
		if err != nil {
			return nil, err
		}
		local.Set(enr.WithEntry(cmd.Key, value))
		return udp.Self().String(), nil
	},
	"ping": func(udp *discover.UDPv5, _ *enode.LocalNode, cmd *command) (any, error) {
		node, err := parseRecord(cmd.Enr)
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
			"ip":      pong.ToIP.String(),
			"port":    pong.ToPort,
		}, nil
	},
	"findnode": func(udp *discover.UDPv5, _ *enode.LocalNode, cmd *command) (any, error) {
		node, err := parseRecord(cmd.Enr)
		if err != nil {
			return nil, err
		}
		found, err := udp.Findnode(node, cmd.Distances)
		if err != nil {
			return nil, err
		}
		return records(found), nil
	},
	"talk": func(udp *discover.UDPv5, _ *enode.LocalNode, cmd *command) (any, error) {
		node, err := parseRecord(cmd.Enr)
		if err != nil {
			return nil, err
		}
		request, err := hex.DecodeString(cmd.Hex)
		if err != nil {
			return nil, err
		}
		response, err := udp.TalkRequest(node, cmd.Protocol, request)
		if err != nil {
			return nil, err
		}
		return hex.EncodeToString(response), nil
	},
	// A whole lookup for the id of a node.
	"lookup": func(udp *discover.UDPv5, _ *enode.LocalNode, cmd *command) (any, error) {
		target, err := enode.ParseID(cmd.ID)
		if err != nil {
			return nil, err
		}
		return records(udp.Lookup(target)), nil
	},
	"table": func(udp *discover.UDPv5, _ *enode.LocalNode, _ *command) (any, error) {
		entries := make([]fields, 0)
		for _, bucket := range udp.Nodes() {
			for _, n := range bucket {
				entries = append(entries, fields{"enr": n.Node.String(), "live": n.Live})
			}
		}
		return entries, nil
	},
}

func parseRecord(text string) (*enode.Node, error) {
	return enode.Parse(enode.ValidSchemes, text)
}

func records(nodes []*enode.Node) []string {
	texts := make([]string, 0, len(nodes))
	for _, n := range nodes {
		texts = append(texts, n.String())
	}
	return texts
}
