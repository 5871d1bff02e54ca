package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/enode"
)

// The messages of a test subprotocol, version 1. Payloads are bytes, not RLP.
const (
	dataMsg      = 0 // counted and hashed
	markMsg      = 1 // ends a batch: answered with ack
	ackMsg       = 2 // a tally of the batch
	echoMsg      = 3 // answered with echoReply and the same payload
	echoReplyMsg = 4
	testLength   = 8 // code 7, unused like 5 and 6, counts as data: the highest must arrive too
	lastMsg      = testLength - 1
)

// replyQueue bounds the answers of one session that wait for their turn to be written.
const replyQueue = 4096

// answerTimeout is how long a command waits for the remote's answer.
const answerTimeout = 60 * time.Second

// tally is what one side saw of a batch of messages: how many, and a hash over the code, length
// and payload of each in turn. Equal tallies mean that nothing was lost, changed or reordered.
type tally struct {
	count  uint64
	size   uint64
	digest hash.Hash
}

func newTally() *tally { return &tally{digest: sha256.New()} }

func (t *tally) add(code uint64, payload []byte) {
	var head [8]byte
	binary.BigEndian.PutUint32(head[:4], uint32(code))
	binary.BigEndian.PutUint32(head[4:], uint32(len(payload)))
	t.digest.Write(head[:])
	t.digest.Write(payload)
	t.count++
	t.size += uint64(len(payload))
}

// encode gives the payload of ack: the count, 8 bytes big-endian, and the hash.
func (t *tally) encode() []byte {
	return t.digest.Sum(binary.BigEndian.AppendUint64(nil, t.count))
}

func (t *tally) fields(id enode.ID, proto string) fields {
	return fields{
		"id": id.String(), "proto": proto,
		"count": t.count, "size": t.size, "sha256": hex.EncodeToString(t.digest.Sum(nil)),
	}
}

// testProtocol is one subprotocol that carries the tests' messages.
type testProtocol struct {
	name string
	out  *emitter

	mu       sync.Mutex
	sessions map[enode.ID]*testSession
}

type testSession struct {
	peer    *p2p.Peer
	rw      p2p.MsgReadWriter
	ends    chan error
	acks    chan []byte
	echoes  chan []byte
	replies chan reply
}

type reply struct {
	code    uint64
	payload []byte
}

func newTestProtocol(name string, out *emitter) *testProtocol {
	return &testProtocol{name: name, out: out, sessions: make(map[enode.ID]*testSession)}
}

func (t *testProtocol) protocol() p2p.Protocol {
	return p2p.Protocol{Name: t.name, Version: 1, Length: testLength, Run: t.run}
}

func (t *testProtocol) run(peer *p2p.Peer, rw p2p.MsgReadWriter) error {
	s := &testSession{
		peer: peer, rw: rw,
		ends:    make(chan error, 3),
		acks:    make(chan []byte, 1),
		echoes:  make(chan []byte, 1),
		replies: make(chan reply, replyQueue),
	}
	t.mu.Lock()
	t.sessions[peer.ID()] = s
	t.mu.Unlock()

	done := make(chan struct{})
	go func() { s.ends <- t.read(s) }()
	go func() { s.ends <- s.answer(done) }()
	t.out.emit("running", fields{"id": peer.ID().String(), "proto": t.name})
	err := <-s.ends
	close(done)

	t.mu.Lock()
	if t.sessions[peer.ID()] == s {
		delete(t.sessions, peer.ID())
	}
	t.mu.Unlock()
	return err
}

// read takes the remote's messages until the session ends.
func (t *testProtocol) read(s *testSession) error {
	seen := newTally()
	for {
		msg, err := s.rw.ReadMsg()
		if err != nil {
			return err
		}
		payload, err := io.ReadAll(msg.Payload)
		if err != nil {
			return err
		}
		switch msg.Code {
		case markMsg:
			t.out.emit("received", seen.fields(s.peer.ID(), t.name))
			s.replies <- reply{ackMsg, seen.encode()}
			seen = newTally()
		case ackMsg:
			s.acks <- payload
		case echoMsg:
			s.replies <- reply{echoReplyMsg, payload}
		case echoReplyMsg:
			s.echoes <- payload
		default:
			seen.add(msg.Code, payload)
		}
	}
}

// answer writes the replies. Reading must not wait for writing: two busy sides would lock.
func (s *testSession) answer(done <-chan struct{}) error {
	for {
		select {
		case r := <-s.replies:
			if err := s.write(r.code, r.payload); err != nil {
				return err
			}
		case <-done:
			return nil
		}
	}
}

func (s *testSession) write(code uint64, payload []byte) error {
	return s.rw.WriteMsg(p2p.Msg{Code: code, Size: uint32(len(payload)), Payload: bytes.NewReader(payload)})
}

func (t *testProtocol) handle(cmd *command) error {
	id, err := enode.ParseID(cmd.ID)
	if err != nil {
		return err
	}
	s := t.session(id)
	if s == nil {
		return fmt.Errorf("no session of %s with %s", t.name, cmd.ID)
	}
	switch cmd.Cmd {
	case "send":
		go t.send(s, *cmd)
	case "echo":
		go t.echo(s, *cmd)
	case "return":
		err, ok := endings[cmd.How]
		if !ok {
			return fmt.Errorf("unknown ending %q", cmd.How)
		}
		s.ends <- err()
	}
	return nil
}

// session gives the session with a peer. The server adds the peer a moment before the subprotocol
// runs, so one that is missing may be about to begin.
func (t *testProtocol) session(id enode.ID) *testSession {
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		t.mu.Lock()
		s := t.sessions[id]
		t.mu.Unlock()
		if s != nil || time.Since(start) > time.Second {
			return s
		}
	}
}

// endings are the ways in which the subprotocol can return.
var endings = map[string]func() error{
	"ok":          func() error { return nil },
	"error":       func() error { return errors.New("told to fail") },
	"bad message": func() error { return p2p.Msg{Size: 1, Payload: bytes.NewReader([]byte{0xc1})}.Decode(new([]uint64)) },
}

// send writes a batch: count messages of min to max bytes drawn from the seed, then mark; and
// reports what it wrote and whether the remote's tally is the same.
func (t *testProtocol) send(s *testSession, cmd command) {
	var (
		wrote = newTally()
		rng   = rand.New(rand.NewPCG(cmd.Seed, 0))
		err   error
	)
	for i := 0; i < cmd.Count && err == nil; i++ {
		payload := content(rng, cmd.Min+rng.IntN(cmd.Max-cmd.Min+1))
		code := uint64(dataMsg)
		if i%2 == 1 {
			code = lastMsg
		}
		wrote.add(code, payload)
		err = s.write(code, payload)
	}
	if err == nil {
		err = s.write(markMsg, nil)
	}
	f := wrote.fields(s.peer.ID(), t.name)
	if err == nil {
		select {
		case ack := <-s.acks:
			f["acked"] = bytes.Equal(ack, wrote.encode())
		case <-time.After(answerTimeout):
			err = errors.New("no ack")
		}
	}
	if err != nil {
		f["error"] = err.Error()
	}
	t.out.emit("sent", f)
}

// content draws size bytes, of which about half can be compressed.
func content(rng *rand.Rand, size int) []byte {
	payload := make([]byte, (size+63)/64*64)
	for at := 0; at < len(payload); at += 64 {
		if at > 0 && rng.IntN(2) == 0 {
			copy(payload[at:], payload[at-64:at])
			continue
		}
		for word := at; word < at+64; word += 8 {
			binary.LittleEndian.PutUint64(payload[word:], rng.Uint64())
		}
	}
	return payload[:size]
}

// echo sends one message that comes back, and reports how long that took.
func (t *testProtocol) echo(s *testSession, cmd command) {
	payload := content(rand.New(rand.NewPCG(cmd.Seed, 1)), cmd.Max)
	start := time.Now()
	f := fields{"id": s.peer.ID().String(), "proto": t.name}
	if err := s.write(echoMsg, payload); err != nil {
		f["error"] = err.Error()
	} else {
		select {
		case back := <-s.echoes:
			f["equal"] = bytes.Equal(back, payload)
			f["micros"] = time.Since(start).Microseconds()
		case <-time.After(answerTimeout):
			f["error"] = "no echo"
		}
	}
	t.out.emit("echoed", f)
}
