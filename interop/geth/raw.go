package main

import (
	"crypto/ecdsa"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/rlpx"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/golang/snappy"
)

const (
	helloCode = 0x00

	// snappyVersion is the version of the base protocol from which on messages are compressed.
	snappyVersion = 5

	// rawHandshakeTimeout is the deadline of the RLPx handshake, as in p2p.Server.
	rawHandshakeTimeout = 5 * time.Second

	// maxShown bounds the payload of a "frame" event; longer ones are cut.
	maxShown = 4 << 10
)

// raw holds bare RLPx connections. Nothing is sent but on command: no Hello, no Pong.
// Compression is the command's choice too, message by message; incoming messages are
// decompressed after the remote's Hello if both Hellos have version 5 or later.
type raw struct {
	key *ecdsa.PrivateKey
	out *emitter

	mu    sync.Mutex
	conns map[int]*rawConn
	next  int
}

type rawConn struct {
	*rlpx.Conn
	version uint64 // of our Hello, once it is sent
}

type rawCap struct {
	Name    string `json:"name"`
	Version uint64 `json:"version"`
}

type rawHello struct {
	Version    uint64
	Name       string
	Caps       []rawCap
	ListenPort uint64
	ID         []byte
	Rest       []rlp.RawValue `rlp:"tail"`
}

func runRaw(args []string, in io.Reader, out *emitter) error {
	set := flag.NewFlagSet("raw", flag.ContinueOnError)
	keyHex := set.String("key", "", "private key as hex; a fresh one if empty")
	if err := set.Parse(args); err != nil {
		return err
	}
	key, err := parseKey(*keyHex)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()

	r := &raw{key: key, out: out, conns: make(map[int]*rawConn)}
	go r.accept(listener)
	addr := listener.Addr().(*net.TCPAddr)
	self := enode.NewV4(&key.PublicKey, addr.IP, addr.Port, 0)
	out.emit("ready", fields{"enode": self.URLv4(), "enr": "", "id": self.ID().String(), "port": addr.Port})
	err = commands(in, out, r.handle)
	out.emit("stopped", nil)
	return err
}

func (r *raw) accept(listener net.Listener) {
	for {
		fd, err := listener.Accept()
		if err != nil {
			return
		}
		go r.run(fd, nil)
	}
}

func (r *raw) handle(cmd *command) error {
	switch cmd.Cmd {
	case "dial":
		node, err := enode.Parse(enode.ValidSchemes, cmd.Enode)
		if err != nil {
			return err
		}
		addr, ok := node.TCPEndpoint()
		if !ok {
			return fmt.Errorf("no endpoint in %s", cmd.Enode)
		}
		fd, err := net.Dial("tcp", addr.String())
		if err != nil {
			return err
		}
		go r.run(fd, node.Pubkey())
		return nil
	case "hello", "write", "close":
		r.mu.Lock()
		conn := r.conns[cmd.Conn]
		r.mu.Unlock()
		if conn == nil {
			return fmt.Errorf("no connection %d", cmd.Conn)
		}
		switch cmd.Cmd {
		case "hello":
			return r.hello(conn, cmd)
		case "write":
			return write(conn, cmd)
		default:
			return conn.Close()
		}
	default:
		return fmt.Errorf("unknown command")
	}
}

// hello sends Hello; without hello_id it tells the true identity.
func (r *raw) hello(conn *rawConn, cmd *command) error {
	hello := rawHello{
		Version: cmd.Version,
		Name:    cmd.Name,
		Caps:    cmd.Caps,
		ID:      crypto.FromECDSAPub(&r.key.PublicKey)[1:],
	}
	if cmd.HelloID != "" {
		id, err := hex.DecodeString(cmd.HelloID)
		if err != nil {
			return err
		}
		hello.ID = id
	}
	payload, err := rlp.EncodeToBytes(&hello)
	if err != nil {
		return err
	}
	r.mu.Lock()
	conn.version = cmd.Version
	r.mu.Unlock()
	_, err = conn.Write(helloCode, payload)
	return err
}

func write(conn *rawConn, cmd *command) error {
	payload, err := hex.DecodeString(cmd.Hex)
	if err != nil {
		return err
	}
	if cmd.Compress {
		payload = snappy.Encode(nil, payload)
	}
	_, err = conn.Write(cmd.Code, payload)
	return err
}

// run does the handshake, as initiator if dest is known, and reports what arrives.
func (r *raw) run(fd net.Conn, dest *ecdsa.PublicKey) {
	defer fd.Close()
	conn := &rawConn{Conn: rlpx.NewConn(fd, dest)}
	conn.SetDeadline(time.Now().Add(rawHandshakeTimeout))
	remote, err := conn.Handshake(r.key)
	if err != nil {
		r.out.emit("handshake_failed", fields{"error": err.Error(), "inbound": dest == nil})
		return
	}
	conn.SetDeadline(time.Time{})

	r.mu.Lock()
	r.next++
	number := r.next
	r.conns[number] = conn
	r.mu.Unlock()
	r.out.emit("conn", fields{
		"conn": number, "inbound": dest == nil,
		"id": enode.PubkeyToIDV4(remote).String(), "pubkey": hex.EncodeToString(crypto.FromECDSAPub(remote)[1:]),
	})
	var theirs uint64 // the version of the remote's Hello
	for {
		code, payload, _, err := conn.Read()
		r.mu.Lock()
		compressed := theirs >= snappyVersion && conn.version >= snappyVersion
		r.mu.Unlock()
		if err == nil && compressed {
			// What is not compressed although it should be is shown as it is.
			if plain, bad := snappy.Decode(nil, payload); bad == nil {
				payload = plain
			} else {
				compressed = false
			}
		}
		if err != nil {
			r.mu.Lock()
			delete(r.conns, number)
			r.mu.Unlock()
			r.out.emit("closed", fields{"conn": number, "error": err.Error()})
			return
		}
		r.out.emit("frame", fields{
			"conn": number, "code": code, "size": len(payload), "compressed": compressed,
			"hex": hex.EncodeToString(payload[:min(len(payload), maxShown)]),
		})
		if code == helloCode && theirs == 0 {
			var hello rawHello
			if err := rlp.DecodeBytes(payload, &hello); err == nil {
				theirs = hello.Version
			}
		}
	}
}
