// Command geth-node runs a whole node of go-ethereum with its RPC, or asks a node with go-ethereum's client.
//
//	geth-node node    a node, until the end of stdin
//	geth-node call    calls a method, tells the answer, and ends
//	geth-node watch   tells peer events, until the end of stdin
//
// Events go to stdout, one JSON object a line.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/rpc"
)

// fields are the members of an event.
type fields map[string]any

func emit(event string, f fields) {
	line := fields{"event": event}
	for k, v := range f {
		line[k] = v
	}
	json.NewEncoder(os.Stdout).Encode(line)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "geth-node:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: geth-node node|call|watch [flags]")
	}
	switch args[0] {
	case "node":
		return runNode(args[1:])
	case "call":
		return runCall(args[1:])
	case "watch":
		return runWatch(args[1:])
	default:
		return fmt.Errorf("unknown mode %q", args[0])
	}
}

// runNode runs a whole node of go-ethereum with its RPC. Its only subprotocol is demo/1 of the program
// devp2p, as far as a Greeting.
//
//	geth-node node -datadir DIR
//
// "ready" tells where RPC is: "http", "ws" and "ipc".
func runNode(args []string) error {
	set := flag.NewFlagSet("node", flag.ContinueOnError)
	datadir := set.String("datadir", "", "where the node keeps what is its own")
	if err := set.Parse(args); err != nil {
		return err
	}
	modules := []string{"admin", "debug", "net", "web3"}
	stack, err := node.New(&node.Config{
		Name:        "geth-under-test",
		DataDir:     *datadir,
		IPCPath:     "geth.ipc",
		HTTPHost:    "127.0.0.1",
		HTTPModules: modules,
		WSHost:      "127.0.0.1",
		WSModules:   modules,
		P2P: p2p.Config{
			ListenAddr:      "127.0.0.1:0",
			DiscoveryV4:     true,
			MaxPeers:        10,
			EnableMsgEvents: true,
		},
	})
	if err != nil {
		return err
	}
	defer stack.Close()
	stack.RegisterProtocols([]p2p.Protocol{{
		Name:    "demo",
		Version: 1,
		Length:  demoLength,
		Run: func(_ *p2p.Peer, rw p2p.MsgReadWriter) error {
			// Its Greeting, without which the other side waits.
			if err := p2p.Send(rw, 0, []string{"hello"}); err != nil {
				return err
			}
			for {
				msg, err := rw.ReadMsg()
				if err != nil {
					return err
				}
				msg.Discard()
			}
		},
	}})
	if err := stack.Start(); err != nil {
		return err
	}
	self := stack.Server().Self()
	emit("ready", fields{
		"enode": self.URLv4(), "enr": self.String(),
		"http": stack.HTTPEndpoint(), "ws": stack.WSEndpoint(), "ipc": stack.IPCEndpoint(),
	})
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// demoLength is how many message ids demo/1 has.
const demoLength = 3

// patience bounds a call.
const patience = 20 * time.Second

// runCall calls a method with go-ethereum's client, tells the answer in one event "answer", and ends.
//
//	geth-node call -url URL|PATH METHOD [JSON...]
func runCall(args []string) error {
	set := flag.NewFlagSet("call", flag.ContinueOnError)
	url := set.String("url", "", "where RPC is")
	if err := set.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := rpc.DialContext(ctx, *url)
	if err != nil {
		return err
	}
	defer client.Close()
	var params []any
	for _, text := range set.Args()[1:] {
		var param any
		if err := json.Unmarshal([]byte(text), &param); err != nil {
			return err
		}
		params = append(params, param)
	}
	var result json.RawMessage
	if err := client.CallContext(ctx, &result, set.Arg(0), params...); err != nil {
		failure := fields{"message": err.Error()}
		var coded rpc.Error
		if errors.As(err, &coded) {
			failure["code"] = coded.ErrorCode()
		}
		emit("answer", fields{"error": failure})
		return nil
	}
	emit("answer", fields{"result": result})
	return nil
}

// runWatch subscribes to peer events with go-ethereum's client, and tells each in an event "told", after
// the event "subscribed", until the end of stdin.
//
//	geth-node watch -url URL|PATH
func runWatch(args []string) error {
	set := flag.NewFlagSet("watch", flag.ContinueOnError)
	url := set.String("url", "", "where RPC is")
	if err := set.Parse(args); err != nil {
		return err
	}
	client, err := rpc.Dial(*url)
	if err != nil {
		return err
	}
	defer client.Close()
	events := make(chan json.RawMessage, 128)
	subscription, err := client.Subscribe(context.Background(), "admin", events, "peerEvents")
	if err != nil {
		return err
	}
	emit("subscribed", nil)
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	for {
		select {
		case event := <-events:
			emit("told", fields{"it": event})
		case err := <-subscription.Err():
			return err
		case <-ended:
			subscription.Unsubscribe()
			return nil
		}
	}
}
