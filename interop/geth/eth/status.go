// Package eth speaks eth/68 and eth/69 as far as Status.
package eth

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/rlp"
)

const (
	statusMsg = 0x00

	// handshakeTimeout is the time that geth gives the exchange of Status.
	handshakeTimeout = 5 * time.Second
)

// lengths are the numbers of message codes of the versions.
var lengths = map[uint32]uint64{68: 17, 69: 18}

// ForkID identifies the chain's rules (EIP-2124).
type ForkID struct {
	Hash Bytes4 `json:"hash"`
	Next uint64 `json:"next"`
}

// Bytes4 prints as hex.
type Bytes4 [4]byte

// MarshalText implements encoding.TextMarshaler.
func (b Bytes4) MarshalText() ([]byte, error) {
	return []byte(hex.EncodeToString(b[:])), nil
}

// Status68 is the first message of eth/68.
type Status68 struct {
	Version   uint32      `json:"version"`
	NetworkID uint64      `json:"network_id"`
	TD        *big.Int    `json:"total_difficulty"`
	Head      common.Hash `json:"best_hash"`
	Genesis   common.Hash `json:"genesis_hash"`
	ForkID    ForkID      `json:"fork_id"`
}

// Status69 is the first message of eth/69 (EIP-7642).
type Status69 struct {
	Version    uint32      `json:"version"`
	NetworkID  uint64      `json:"network_id"`
	Genesis    common.Hash `json:"genesis_hash"`
	ForkID     ForkID      `json:"fork_id"`
	Earliest   uint64      `json:"earliest"`
	Latest     uint64      `json:"latest"`
	LatestHash common.Hash `json:"latest_hash"`
}

// Config is the chain that the local node claims to be on.
type Config struct {
	networkID uint64
	genesis   string
	forkHash  string
	forkNext  uint64
	latest    uint64
}

// Flags defines the flags that set c.
func (c *Config) Flags(set *flag.FlagSet) {
	set.Uint64Var(&c.networkID, "network-id", 1, "eth: network id")
	set.StringVar(&c.genesis, "genesis", strings.Repeat("00", 32), "eth: hash of the genesis block")
	set.StringVar(&c.forkHash, "fork-hash", "00000000", "eth: hash of the fork id")
	set.Uint64Var(&c.forkNext, "fork-next", 0, "eth: next fork of the fork id")
	set.Uint64Var(&c.latest, "latest", 0, "eth/69: number of the latest block")
}

// Protocol is the given version of eth. It calls report with the remote's Status, ends the
// session when the network or the genesis block differs, and ignores all further messages.
func (c *Config) Protocol(version string, report func(*p2p.Peer, any)) (p2p.Protocol, error) {
	var number uint32
	if _, err := fmt.Sscan(version, &number); err != nil || lengths[number] == 0 {
		return p2p.Protocol{}, fmt.Errorf("unknown version of eth: %q", version)
	}
	fork := ForkID{Next: c.forkNext}
	if n, err := hex.Decode(fork.Hash[:], []byte(c.forkHash)); err != nil || n != len(fork.Hash) {
		return p2p.Protocol{}, fmt.Errorf("bad fork hash %q", c.forkHash)
	}
	genesis := common.HexToHash(c.genesis)
	return p2p.Protocol{
		Name: "eth", Version: uint(number), Length: lengths[number],
		Run: func(peer *p2p.Peer, rw p2p.MsgReadWriter) error {
			var ours, theirs any
			switch number {
			case 68:
				ours = &Status68{number, c.networkID, new(big.Int), genesis, genesis, fork}
				theirs = new(Status68)
			case 69:
				ours = &Status69{number, c.networkID, genesis, fork, 0, c.latest, genesis}
				theirs = new(Status69)
			}
			if err := exchange(rw, ours, theirs); err != nil {
				return err
			}
			report(peer, theirs)
			if err := c.check(theirs, number, genesis); err != nil {
				return err
			}
			for {
				msg, err := rw.ReadMsg()
				if err != nil {
					return err
				}
				if msg.Code == statusMsg {
					return fmt.Errorf("a second status")
				}
				msg.Discard()
			}
		},
	}, nil
}

// exchange sends our Status and reads theirs.
func exchange(rw p2p.MsgReadWriter, ours, theirs any) error {
	results := make(chan error, 2)
	go func() { results <- p2p.Send(rw, statusMsg, ours) }()
	go func() { results <- readStatus(rw, theirs) }()
	timeout := time.After(handshakeTimeout)
	for range 2 {
		select {
		case err := <-results:
			if err != nil {
				return err
			}
		case <-timeout:
			return p2p.DiscReadTimeout
		}
	}
	return nil
}

func readStatus(rw p2p.MsgReadWriter, status any) error {
	msg, err := rw.ReadMsg()
	if err != nil {
		return err
	}
	if msg.Code != statusMsg {
		return fmt.Errorf("first message has code %#x, not status", msg.Code)
	}
	return rlp.Decode(msg.Payload, status)
}

func (c *Config) check(status any, version uint32, genesis common.Hash) error {
	var (
		theirVersion uint32
		network      uint64
		theirGenesis common.Hash
	)
	switch s := status.(type) {
	case *Status68:
		theirVersion, network, theirGenesis = s.Version, s.NetworkID, s.Genesis
	case *Status69:
		theirVersion, network, theirGenesis = s.Version, s.NetworkID, s.Genesis
	}
	switch {
	case theirVersion != version:
		return fmt.Errorf("protocol version mismatch: %d (!= %d)", theirVersion, version)
	case network != c.networkID:
		return fmt.Errorf("network ID mismatch: %d (!= %d)", network, c.networkID)
	case theirGenesis != genesis:
		return fmt.Errorf("genesis mismatch: %x (!= %x)", theirGenesis, genesis)
	}
	return nil
}
