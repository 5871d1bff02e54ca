// Command geth runs parts of go-ethereum as a devp2p peer for tests.
//
//	geth server   a p2p.Server with the subprotocols that the tests speak
//	geth discv4   discovery v4 alone
//	geth discv5   discovery v5 alone
//	geth lookups  many nodes of discovery v4, which look each other up for a benchmark
//	geth dns      reads or makes a node list in DNS, and ends
//	geth raw      bare RLPx connections: the test says byte for byte what is sent
//
// Commands come on stdin and events go to stdout, one JSON object a line. The first event is
// "ready". The program ends at the command "stop" or at the end of stdin.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "geth:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: geth server|discv4|discv5|lookups|dns|raw [flags]")
	}
	out := newEmitter(os.Stdout)
	switch args[0] {
	case "server":
		return runServer(args[1:], os.Stdin, out)
	case "discv4":
		return runDiscovery(args[1:], os.Stdin, out)
	case "discv5":
		return runDiscoveryV5(args[1:], os.Stdin, out)
	case "lookups":
		return runLookups(args[1:], os.Stdin, out)
	case "dns":
		return runDNS(args[1:], out)
	case "raw":
		return runRaw(args[1:], os.Stdin, out)
	default:
		return fmt.Errorf("unknown mode %q", args[0])
	}
}
