"""Calls what web3.py has for the administration of a node, and prints the answers as JSON.

    admin.py PATH|http://HOST:PORT ENODE
"""

import json
import sys
import time

from web3 import HTTPProvider, IPCProvider, Web3
from web3.exceptions import Web3RPCError


def provider(to):
    if to.startswith("http://"):
        return HTTPProvider(to)
    return IPCProvider(to)


def peers(w3):
    """The peers, once there is one."""
    for _ in range(200):
        found = w3.geth.admin.peers()
        if found:
            return [plain(peer) for peer in found]
        time.sleep(0.05)
    return []


def plain(value):
    return json.loads(Web3.to_json(value))


def refusal(w3):
    try:
        w3.geth.admin.add_peer("enode://nobody")
    except Web3RPCError as error:
        return error.rpc_response["error"]
    return None


def main(to, enode):
    w3 = Web3(provider(to))
    print(
        json.dumps(
            {
                "connected": w3.is_connected(),
                "added": w3.geth.admin.add_peer(enode),
                "peers": peers(w3),
                "node_info": plain(w3.geth.admin.node_info()),
                "datadir": w3.geth.admin.datadir(),
                "refusal": refusal(w3),
                "version": w3.net.version,
                "listening": w3.net.listening,
                "peer_count": w3.net.peer_count,
                "client_version": w3.client_version,
            }
        )
    )


main(*sys.argv[1:])
