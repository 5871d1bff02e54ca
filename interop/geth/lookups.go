package main

import (
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"
)

// lookupResults is how many nodes a lookup is for.
const lookupResults = 16

// lookupNetwork is nodes of discovery v4 in this one process, that look up targets among them.
type lookupNetwork struct {
	out   *emitter
	nodes []*discover.UDPv4
}

// runLookups runs one node for each key. The first is the bootnode of the others. Everything has
// its defaults.
func runLookups(args []string, in io.Reader, out *emitter) error {
	set := flag.NewFlagSet("lookups", flag.ContinueOnError)
	keys := set.String("keys", "", "private keys as hex")
	if err := set.Parse(args); err != nil {
		return err
	}
	network := &lookupNetwork{out: out}
	for _, key := range split(*keys) {
		if err := network.add(key); err != nil {
			return err
		}
	}
	if len(network.nodes) == 0 {
		return fmt.Errorf("no keys")
	}
	self := network.nodes[0].Self()
	out.emit("ready", fields{"enode": self.URLv4(), "enr": self.String(), "port": self.UDP()})
	err := commands(in, out, network.handle)
	for _, node := range network.nodes {
		node.Close()
	}
	out.emit("stopped", nil)
	return err
}

func (n *lookupNetwork) add(keyHex string) error {
	key, err := crypto.HexToECDSA(keyHex)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	db, err := enode.OpenDB("")
	if err != nil {
		return err
	}
	local, addr := enode.NewLocalNode(db, key), conn.LocalAddr().(*net.UDPAddr)
	local.SetStaticIP(addr.IP)
	local.SetFallbackUDP(addr.Port)
	local.Set(enr.TCP(addr.Port))
	config := discover.Config{PrivateKey: key}
	if len(n.nodes) > 0 {
		config.Bootnodes = []*enode.Node{n.nodes[0].Self()}
	}
	udp, err := discover.ListenV4(conn, local, config)
	if err != nil {
		return err
	}
	n.nodes = append(n.nodes, udp)
	return nil
}

func (n *lookupNetwork) handle(cmd *command) error {
	switch cmd.Cmd {
	// How many live nodes the emptiest table has.
	case "fewest":
		fewest := len(n.nodes)
		for _, node := range n.nodes {
			live := 0
			for _, bucket := range node.TableBuckets() {
				for _, known := range bucket {
					if known.Live {
						live++
					}
				}
			}
			fewest = min(fewest, live)
		}
		n.out.emit("answer", fields{"call": cmd.Call, "result": fewest})
		return nil
	case "lookups":
		targets, err := parseTargets(cmd.Targets)
		if err != nil {
			return err
		}
		if cmd.From < 1 || cmd.From > len(n.nodes) {
			return fmt.Errorf("there are %d nodes", len(n.nodes))
		}
		// The other side measures the time from here to the answer, and what the process used.
		start := time.Now()
		found := n.lookUp(targets, cmd.Parallel, cmd.From)
		took := time.Since(start)
		right := 0
		for i, nodes := range found {
			if n.isRight(nodes, targets[i], n.nodes[i%cmd.From].Self().ID()) {
				right++
			}
		}
		result := fields{"micros": took.Microseconds(), "right": right}
		n.out.emit("answer", fields{"call": cmd.Call, "result": result})
		return nil
	default:
		return fmt.Errorf("unknown command")
	}
}

func parseTargets(keys []string) ([]*enode.Node, error) {
	targets := make([]*enode.Node, 0, len(keys))
	for _, text := range keys {
		raw, err := hex.DecodeString(text)
		if err != nil {
			return nil, err
		}
		key, err := crypto.UnmarshalPubkey(append([]byte{4}, raw...))
		if err != nil {
			return nil, err
		}
		targets = append(targets, enode.NewV4(key, nil, 0, 0))
	}
	return targets, nil
}

// lookUp has the first nodes look up the targets in turn, so many at a time.
func (n *lookupNetwork) lookUp(targets []*enode.Node, parallel, from int) [][]*enode.Node {
	var (
		found = make([][]*enode.Node, len(targets))
		next  atomic.Int64
		wg    sync.WaitGroup
	)
	for range parallel {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(targets); i = int(next.Add(1)) - 1 {
				found[i] = n.nodes[i%from].LookupPubkey(targets[i].Pubkey())
			}
		})
	}
	wg.Wait()
	return found
}

// isRight tells whether a lookup found those that are nearest to its target, itself apart.
func (n *lookupNetwork) isRight(found []*enode.Node, target *enode.Node, own enode.ID) bool {
	ids := func(nodes []*enode.Node) []enode.ID {
		var ids []enode.ID
		for _, node := range nodes {
			if node.ID() != own {
				ids = append(ids, node.ID())
			}
		}
		slices.SortFunc(ids, func(a, b enode.ID) int { return enode.DistCmp(target.ID(), a, b) })
		return ids[:min(lookupResults, len(ids))]
	}
	all := make([]*enode.Node, 0, len(n.nodes))
	for _, node := range n.nodes {
		all = append(all, node.Self())
	}
	return slices.Equal(ids(found), ids(all))
}
