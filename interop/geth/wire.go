package main

import (
	"bufio"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/enode"
)

// maxCommand bounds a line of stdin: a raw frame of 16 MiB as hex.
const maxCommand = 40 << 20

// fields are the members of an event.
type fields map[string]any

// emitter writes events, one JSON object a line. It is safe for concurrent use.
type emitter struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func newEmitter(w io.Writer) *emitter {
	return &emitter{enc: json.NewEncoder(w)}
}

func (e *emitter) emit(event string, f fields) {
	line := fields{"event": event}
	for k, v := range f {
		line[k] = v
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.enc.Encode(line)
}

// command is the union of all commands of all modes.
type command struct {
	Cmd string `json:"cmd"`

	// Whom it is about: a node URL, a node id, or (raw mode) the number of a connection.
	Enode string `json:"enode"`
	ID    string `json:"id"`
	Conn  int    `json:"conn"`

	// server: messages.
	Proto string `json:"proto"`
	Count int    `json:"count"`
	Min   int    `json:"min"`
	Max   int    `json:"max"`
	Seed  uint64 `json:"seed"`
	How   string `json:"how"`

	// server: disconnect.
	Reason uint8 `json:"reason"`

	// discovery: the number that the answer repeats, and what the commands are about.
	Call   int    `json:"call"`
	Listen string `json:"listen"`
	Key    string `json:"key"`

	// discv5: a record as text, a node's id is in ID.
	Enr       string `json:"enr"`
	Distances []uint `json:"distances"`
	Protocol  string `json:"protocol"`

	// lookups: public keys, how many at a time, and by how many nodes.
	Targets  []string `json:"targets"`
	Parallel int      `json:"parallel"`
	From     int      `json:"from"`

	// raw: one message.
	Code     uint64 `json:"code"`
	Hex      string `json:"hex"`
	Compress bool   `json:"compress"`

	// raw: Hello.
	Version uint64   `json:"version"`
	Name    string   `json:"name"`
	Caps    []rawCap `json:"caps"`
	HelloID string   `json:"hello_id"`
}

// commands calls handle for each line of in, until "stop" or the end.
func commands(in io.Reader, out *emitter, handle func(*command) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxCommand)
	for lines.Scan() {
		cmd := new(command)
		if err := json.Unmarshal(lines.Bytes(), cmd); err != nil {
			return fmt.Errorf("bad command: %w", err)
		}
		if cmd.Cmd == "stop" {
			return nil
		}
		if err := handle(cmd); err != nil {
			out.emit("error", fields{"cmd": cmd.Cmd, "error": err.Error()})
		}
	}
	return lines.Err()
}

func parseKey(hex string) (*ecdsa.PrivateKey, error) {
	if hex == "" {
		return crypto.GenerateKey()
	}
	return crypto.HexToECDSA(hex)
}

// nodeList is a flag that can be given several times.
type nodeList []*enode.Node

func (l *nodeList) String() string { return "" }

func (l *nodeList) Set(url string) error {
	n, err := enode.Parse(enode.ValidSchemes, url)
	if err != nil {
		return err
	}
	*l = append(*l, n)
	return nil
}
