package main

import (
	"bytes"
	"crypto/ecdsa"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/crypto/keccak"
	"github.com/ethereum/go-ethereum/p2p/pipes"
	"github.com/ethereum/go-ethereum/p2p/rlpx"
)

// The benchmarks measure go-ethereum's p2p/rlpx. Besides the time of an operation they report the
// CPU time that the whole process used for it, both ends and the kernel's part included: other
// programs on the machine disturb it less.

// benchCode is the first message code of a subprotocol.
const benchCode = 16

var benchSizes = []struct {
	name  string
	bytes int
}{
	{"128B", 128},
	{"1KiB", 1 << 10},
	{"16KiB", 16 << 10},
	{"256KiB", 256 << 10},
	{"1MiB", 1 << 20},
}

// BenchmarkSeal writes frames to a connection that throws them away.
func BenchmarkSeal(b *testing.B) {
	forSizes(b, func(b *testing.B, payload []byte) {
		conn, _ := sessionPair(&memory{})
		defer reportCPU(b, cpuTime())
		for b.Loop() {
			if _, err := conn.Write(benchCode, payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkOpen reads frames from memory.
func BenchmarkOpen(b *testing.B) {
	// batch bounds the memory of the frames that wait to be read.
	const batch = 16 << 20
	forSizes(b, func(b *testing.B, payload []byte) {
		sealed := &memory{keep: true}
		writer, reader := sessionPair(sealed)
		waiting := 0
		start := cpuTime()
		for b.Loop() {
			if waiting == 0 {
				b.StopTimer()
				sealing := cpuTime()
				sealed.frames.Reset()
				for waiting = 0; waiting*len(payload) < batch; waiting++ {
					if _, err := writer.Write(benchCode, payload); err != nil {
						b.Fatal(err)
					}
				}
				start += cpuTime() - sealing
				b.StartTimer()
			}
			read(b, reader, len(payload))
			waiting--
		}
		reportCPU(b, start)
	})
}

// BenchmarkThroughput sends one way over loopback TCP; seal and open run side by side.
func BenchmarkThroughput(b *testing.B) {
	for _, compress := range []bool{false, true} {
		name := "plain"
		if compress {
			name = "snappy"
		}
		b.Run(name, func(b *testing.B) {
			forSizes(b, func(b *testing.B, payload []byte) {
				writer, reader := tcpPair(b)
				writer.SetSnappy(compress)
				reader.SetSnappy(compress)
				go func() {
					for {
						if _, err := writer.Write(benchCode, payload); err != nil {
							return
						}
					}
				}()
				defer reportCPU(b, cpuTime())
				for b.Loop() {
					read(b, reader, len(payload))
				}
			})
		})
	}
}

// BenchmarkHandshake does both sides of the handshake.
func BenchmarkHandshake(b *testing.B) {
	b.Run("memory", func(b *testing.B) {
		benchHandshake(b, func() (net.Conn, net.Conn, error) {
			one, other := net.Pipe()
			return one, other, nil
		})
	})
	b.Run("TCP", func(b *testing.B) { benchHandshake(b, pipes.TCPPipe) })
}

func benchHandshake(b *testing.B, pipe func() (net.Conn, net.Conn, error)) {
	initiator, recipient := newKey(b), newKey(b)
	defer reportCPU(b, cpuTime())
	for b.Loop() {
		one, other, err := pipe()
		if err != nil {
			b.Fatal(err)
		}
		shake(b, one, other, initiator, recipient)
		one.Close()
		other.Close()
	}
}

func forSizes(b *testing.B, bench func(*testing.B, []byte)) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			payload := content(rand.New(rand.NewPCG(1, 2)), size.bytes)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			bench(b, payload)
		})
	}
}

// cpuTime is the CPU time that the process has used.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func reportCPU(b *testing.B, start time.Duration) {
	b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op")
}

func read(b *testing.B, conn *rlpx.Conn, size int) {
	code, data, _, err := conn.Read()
	if err != nil {
		b.Fatal(err)
	}
	if code != benchCode || len(data) != size {
		b.Fatal(fmt.Sprintf("wrong message: code %d, %d bytes", code, len(data)))
	}
}

func newKey(b *testing.B) *ecdsa.PrivateKey {
	key, err := crypto.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	return key
}

func tcpPair(b *testing.B) (writer, reader *rlpx.Conn) {
	one, other, err := pipes.TCPPipe()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		one.Close()
		other.Close()
	})
	return shake(b, one, other, newKey(b), newKey(b))
}

func shake(b *testing.B, one, other net.Conn, initiator, recipient *ecdsa.PrivateKey) (dialer, acceptor *rlpx.Conn) {
	dialer = rlpx.NewConn(one, &recipient.PublicKey)
	acceptor = rlpx.NewConn(other, nil)
	done := make(chan error, 1)
	go func() {
		_, err := acceptor.Handshake(recipient)
		done <- err
	}()
	if _, err := dialer.Handshake(initiator); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return dialer, acceptor
}

// sessionPair is two ends that share secrets without a handshake: what writer writes to the
// connection, reader reads.
func sessionPair(conn net.Conn) (writer, reader *rlpx.Conn) {
	secrets := func() rlpx.Secrets {
		s := rlpx.Secrets{
			AES: make([]byte, 32), MAC: make([]byte, 32),
			EgressMAC: keccak.NewLegacyKeccak256(), IngressMAC: keccak.NewLegacyKeccak256(),
		}
		s.AES[0], s.MAC[0] = 1, 2
		return s
	}
	writer, reader = rlpx.NewConn(conn, nil), rlpx.NewConn(conn, nil)
	writer.InitWithSecrets(secrets())
	reader.InitWithSecrets(secrets())
	return writer, reader
}

// memory is a connection that keeps what is written, or throws it away.
type memory struct {
	net.Conn
	keep   bool
	frames bytes.Buffer
}

func (m *memory) Read(b []byte) (int, error) { return m.frames.Read(b) }

func (m *memory) Write(b []byte) (int, error) {
	if m.keep {
		return m.frames.Write(b)
	}
	return len(b), nil
}
