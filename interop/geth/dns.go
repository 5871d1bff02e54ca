package main

import (
	"context"
	"errors"
	"flag"
	"net"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/dnsdisc"
	"github.com/ethereum/go-ethereum/p2p/enode"
)

// runDNS reads or makes one node list, tells of it in one event "list", and ends.
//
//	geth dns -url enrtree://.. -server IP:PORT       reads it
//	geth dns -key HEX -domain D -seq N -nodes .. -links ..    makes and signs it
func runDNS(args []string, out *emitter) error {
	set := flag.NewFlagSet("dns", flag.ContinueOnError)
	url := set.String("url", "", "the list to read")
	server := set.String("server", "", "the name server to ask")
	key := set.String("key", "", "the private key of the list to make as hex")
	domain := set.String("domain", "", "its domain")
	seq := set.Uint("seq", 1, "its sequence number")
	nodes := set.String("nodes", "", "its records")
	links := set.String("links", "", "its links")
	if err := set.Parse(args); err != nil {
		return err
	}
	if *url != "" {
		return readList(*url, *server, out)
	}
	return makeList(*key, *domain, *seq, split(*nodes), split(*links), out)
}

func readList(url, server string, out *emitter) error {
	client := dnsdisc.NewClient(dnsdisc.Config{
		Resolver: &net.Resolver{
			PreferGo: true,
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				var dialer net.Dialer
				return dialer.DialContext(ctx, network, server)
			},
		},
		RateLimit: 1000,
	})
	tree, err := client.SyncTree(url)
	if err != nil {
		return err
	}
	records := []string{}
	for _, node := range tree.Nodes() {
		records = append(records, node.String())
	}
	out.emit("list", fields{"seq": tree.Seq(), "signature": tree.Signature(), "nodes": records, "links": tree.Links()})
	return nil
}

func makeList(keyHex, domain string, seq uint, records, links []string, out *emitter) error {
	key, err := crypto.HexToECDSA(keyHex)
	if err != nil {
		return err
	}
	var nodes []*enode.Node
	for _, text := range records {
		node, err := enode.Parse(enode.ValidSchemes, text)
		if err != nil {
			return err
		}
		nodes = append(nodes, node)
	}
	tree, err := dnsdisc.MakeTree(seq, nodes, links)
	if err != nil {
		return err
	}
	url, err := tree.Sign(key, domain)
	if err != nil {
		return errors.New("cannot sign: " + err.Error())
	}
	out.emit("list", fields{"url": url, "txt": tree.ToTXT(domain)})
	return nil
}
