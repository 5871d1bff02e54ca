// @ethereumjs/devp2p as a devp2p peer for tests: RLPx on 127.0.0.1, and discovery v4 (DPT) on the
// UDP port of the same number where it is asked for.
//
//   node peer.mjs [--key HEX] [--port N] [--protocols itest,eth] [--hardfork NAME]
//                 [--discv4 [--bootnode URL]... [--refresh MS] [--dial]]
//
// With --dial RLPx dials what the DPT finds, and the bootnodes are sent a PING with every refresh;
// without, the DPT is alone.
//
// Commands come on stdin and events go to stdout, one JSON object a line. The first event is
// "ready". The program ends at the command "stop" or at the end of stdin.

import { createHash, randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

import { Common, Mainnet } from '@ethereumjs/common'
import { DPT, ETH, RLPx } from '@ethereumjs/devp2p'
import { keccak256 } from 'ethereum-cryptography/keccak.js'
import * as snappy from 'snappyjs'

const GENESIS = 'd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3'
const TOTAL_DIFFICULTY = 17179869184n

const { values: args } = parseArgs({
  options: {
    key: { type: 'string', default: randomBytes(32).toString('hex') },
    protocols: { type: 'string', default: 'itest' },
    hardfork: { type: 'string', default: 'chainstart' },
    port: { type: 'string', default: '0' },
    discv4: { type: 'boolean', default: false },
    bootnode: { type: 'string', multiple: true, default: [] },
    refresh: { type: 'string', default: '60000' },
    dial: { type: 'boolean', default: false },
  },
})

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const unhex = (text) => Uint8Array.from(Buffer.from(text, 'hex'))
const idOf = (publicKey) => hex(keccak256(publicKey))

function emit(event, fields = {}) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
}

/** What one side saw of a batch: how many messages, and a hash over code, length and payload of each. */
class Tally {
  count = 0
  size = 0
  hash = createHash('sha256')

  add(code, payload) {
    const head = Buffer.alloc(8)
    head.writeUInt32BE(code, 0)
    head.writeUInt32BE(payload.length, 4)
    this.hash.update(head).update(payload)
    this.count += 1
    this.size += payload.length
  }

  sha256() {
    return this.hash.copy().digest('hex')
  }

  /** The payload of ack: the count, 8 bytes big-endian, and the hash. */
  encode() {
    const head = Buffer.alloc(8)
    head.writeBigUInt64BE(BigInt(this.count))
    return Buffer.concat([head, Buffer.from(this.sha256(), 'hex')])
  }
}

/** The test subprotocol, version 1. Payloads are bytes, not RLP. */
class Itest {
  static DATA = 0 // counted and hashed, as are the codes without a name
  static MARK = 1 // ends a batch: answered with ACK
  static ACK = 2
  static ECHO = 3 // answered with ECHO_REPLY and the same payload
  static ECHO_REPLY = 4
  static LENGTH = 8

  constructor(_version, peer, send) {
    this.peer = peer
    this.send = (code, payload) => send(code, snappy.compress(payload))
    this.seen = new Tally()
    this.waiting = new Map()
  }

  get id() {
    return idOf(this.peer.getId())
  }

  _handleMessage(code, payload) {
    switch (code) {
      case Itest.MARK:
        emit('received', { id: this.id, proto: 'itest', ...summary(this.seen) })
        this.send(Itest.ACK, this.seen.encode())
        this.seen = new Tally()
        break
      case Itest.ECHO:
        this.send(Itest.ECHO_REPLY, payload)
        break
      case Itest.ACK:
      case Itest.ECHO_REPLY:
        this.waiting.get(code)?.(payload)
        this.waiting.delete(code)
        break
      default:
        this.seen.add(code, payload)
    }
  }

  /** The next message with this code. */
  answer(code) {
    return new Promise((resolve) => this.waiting.set(code, resolve))
  }

  async sendBatch({ count, min, max, seed }) {
    const wrote = new Tally()
    const random = generator(seed)
    for (let i = 0; i < count; i++) {
      const payload = content(random, min + (random() % (max - min + 1)))
      const code = i % 2 === 0 ? Itest.DATA : Itest.LENGTH - 1
      wrote.add(code, payload)
      this.send(code, payload)
      await drained(this.peer._socket)
    }
    const ack = this.answer(Itest.ACK)
    this.send(Itest.MARK, new Uint8Array())
    const acked = wrote.encode().equals(Buffer.from(await ack))
    emit('sent', { id: this.id, proto: 'itest', ...summary(wrote), acked })
  }

  async echo({ max, seed }) {
    const payload = content(generator(seed), max)
    const start = performance.now()
    const reply = this.answer(Itest.ECHO_REPLY)
    this.send(Itest.ECHO, payload)
    const equal = Buffer.from(payload).equals(Buffer.from(await reply))
    const micros = Math.round((performance.now() - start) * 1000)
    emit('echoed', { id: this.id, proto: 'itest', equal, micros })
  }
}

function summary(tally) {
  return { count: tally.count, size: tally.size, sha256: tally.sha256() }
}

/** xorshift32: repeatable, and enough for content. */
function generator(seed = 0) {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>>= 0)
  }
}

/** Bytes of which about half can be compressed. */
function content(random, size) {
  const payload = Buffer.alloc(Math.ceil(size / 64) * 64)
  for (let at = 0; at < payload.length; at += 64) {
    if (at > 0 && (random() & 0x100) === 0) {
      payload.copy(payload, at, at - 64, at)
      continue
    }
    for (let word = at; word < at + 64; word += 4) payload.writeUInt32LE(random(), word)
  }
  return payload.subarray(0, size)
}

/** The library writes without looking whether the socket keeps up. */
function drained(socket) {
  if (!socket.writableNeedDrain) return Promise.resolve()
  return new Promise((resolve) => socket.once('drain', resolve))
}

const CAPABILITIES = {
  itest: { name: 'itest', version: 1, length: Itest.LENGTH, constructor: Itest },
  eth: ETH.eth68,
}

// The ports are known when the sockets are.
const endpoint = { address: '127.0.0.1', udpPort: null, tcpPort: null }

const dpt = args.discv4
  ? new DPT(unhex(args.key), { endpoint, refreshInterval: Number(args.refresh) })
  : null

const rlpx = new RLPx(unhex(args.key), {
  dpt: args.dial ? dpt : null,
  capabilities: args.protocols.split(',').map((name) => CAPABILITIES[name]),
  common: new Common({ chain: Mainnet, hardfork: args.hardfork }),
  maxPeers: 10,
})

rlpx.events.on('peer:added', (peer) => {
  const hello = peer.getHelloMessage()
  emit('peer_add', {
    id: idOf(peer.getId()),
    name: hello.clientId,
    caps: hello.capabilities.map(({ name, version }) => `${name}/${version}`),
  })
  const eth = session(peer, ETH)
  if (eth === undefined) return
  eth.events.on('status', (status) =>
    emit('status', {
      id: idOf(peer.getId()),
      version: String(eth.getVersion()),
      status: {
        network_id: Number(`0x${hex(status.chainId)}`),
        best_hash: hex(status.bestHash),
        genesis_hash: hex(status.genesisHash),
        fork_id: { hash: hex(status.forkId[0]), next: Number(`0x0${hex(status.forkId[1])}`) },
      },
    }),
  )
  eth.sendStatus({
    td: unhex(TOTAL_DIFFICULTY.toString(16).padStart(10, '0')),
    bestHash: unhex(GENESIS),
    genesisHash: unhex(GENESIS),
  })
})
rlpx.events.on('peer:removed', (peer, reason, disconnectWe) =>
  emit('peer_drop', { id: idOf(peer.getId()), reason, by_remote: disconnectWe === false }),
)
rlpx.events.on('peer:error', (peer, error) => {
  const id = peer.getId()
  emit('error', { id: id ? idOf(id) : undefined, error: String(error) })
})
rlpx.events.on('error', (error) => emit('error', { error: String(error) }))

rlpx.listen(Number(args.port), '127.0.0.1')
rlpx.events.once('listening', () => {
  const { port } = rlpx._server.address()
  endpoint.tcpPort = port
  if (dpt === null) return ready()
  endpoint.udpPort = port
  dpt.bind(port, '127.0.0.1')
})

function ready() {
  const { tcpPort } = endpoint
  const enode = `enode://${hex(rlpx.id)}@127.0.0.1:${tcpPort}`
  emit('ready', { enode, enr: '', id: idOf(rlpx.id), port: tcpPort })
}

dpt?.events.once('listening', () => {
  ready()
  for (const url of args.bootnode) dpt.bootstrap(parseEnode(url))
  if (args.dial) setInterval(pingBootnodes, Number(args.refresh))
})
dpt?.events.on('peer:added', (peer) => emit('node_verified', { id: idOf(peer.id) }))
dpt?.events.on('peer:removed', (peer) => emit('node_removed', { id: idOf(peer.id) }))
dpt?.events.on('error', (error) => emit('error', { cmd: 'discv4', error: String(error) }))

/**
 * The library pings a node once. If it answers the node's own PING too late then, as a process that
 * has just started may, it never proves its endpoint, and none of its questions is answered.
 */
function pingBootnodes() {
  for (const url of args.bootnode) dpt._server.ping(parseEnode(url)).catch(() => {})
}

/** The form in which the library takes a node. */
function parseEnode(enode) {
  const url = new URL(enode.replace('enode:', 'http:'))
  const tcpPort = Number(url.port)
  const udpPort = Number(url.searchParams.get('discport') ?? tcpPort)
  return { id: unhex(url.username), address: url.hostname, tcpPort, udpPort }
}

function describe({ id, address, tcpPort, udpPort }) {
  return { enode: `enode://${hex(id)}@${address}:${tcpPort ?? 0}?discport=${udpPort}`, live: true }
}

/** What the next NEIGHBORS from anybody names: endpoints, for the library drops the keys. */
function neighbors() {
  return new Promise((resolve) => dpt._server.events.once('peers', resolve))
}

/** Commands of discovery that ask for an answer. */
const QUESTIONS = {
  /** A PING, and nothing else. */
  async ping({ enode }) {
    const start = performance.now()
    await dpt._server.ping(parseEnode(enode))
    return { micros: Math.round((performance.now() - start) * 1000) }
  },
  /** A PING, and a place in the table if it is answered. */
  addnode: async ({ enode }) => describe(await dpt.addPeer(parseEnode(enode))),
  async findnode({ enode, target }) {
    const next = neighbors()
    dpt._server.findneighbours(parseEnode(enode), unhex(target))
    return (await next).map(({ address, udpPort }) => `${address}:${udpPort}`)
  },
  table: () => dpt.getPeers().map(describe),
  refresh: () => dpt.refresh(),
}

async function answer(question, command) {
  const { call } = command
  try {
    emit('answer', { call, result: (await question(command)) ?? null })
  } catch (error) {
    emit('answer', { call, error: String(error) })
  }
}

function session(peer, kind) {
  return peer.getProtocols().find((protocol) => protocol instanceof kind)
}

function findPeer(id) {
  const peer = rlpx.getPeers().find((peer) => idOf(peer.getId()) === id)
  if (peer === undefined) throw new Error(`no peer ${id}`)
  return peer
}

const COMMANDS = {
  dial: ({ enode }) => rlpx.connect(parseEnode(enode)),
  disconnect: ({ id, reason }) => findPeer(id).disconnect(reason),
  echo: (command) => session(findPeer(command.id), Itest).echo(command),
  peers() {
    emit('peers', { peers: rlpx.getPeers().map((peer) => ({ id: idOf(peer.getId()) })) })
  },
  send: (command) => session(findPeer(command.id), Itest).sendBatch(command),
  stop() {
    dpt?.destroy()
    rlpx.destroy()
    emit('stopped')
    // A disconnect that has been written leaves before the process does.
    setTimeout(() => process.exit(0), 100)
  },
}

const lines = createInterface({ input: process.stdin })
lines.on('line', async (line) => {
  const command = JSON.parse(line)
  if (dpt !== null && command.cmd in QUESTIONS) return answer(QUESTIONS[command.cmd], command)
  try {
    await COMMANDS[command.cmd](command)
  } catch (error) {
    emit('error', { cmd: command.cmd, error: String(error) })
  }
})
lines.on('close', () => process.exit(0))
