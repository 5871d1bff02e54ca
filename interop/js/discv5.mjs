// @chainsafe/discv5 as a node of discovery v5 for tests, at an address of loopback.
//
//   node discv5.mjs [--key HEX] [--listen IP:PORT] [--bootnode ENR]... [--session-timeout MS]
//
// Commands come on stdin and events go to stdout, one JSON object a line. The first event is
// "ready". The program ends at the command "stop" or at the end of stdin.

import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

import { Discv5, EntryStatus } from '@chainsafe/discv5'
import { ENR, SignableENR } from '@chainsafe/enr'

/** The talk protocol whose answers are the requests. */
const ECHO = 'echo'

const { values: args } = parseArgs({
  options: {
    key: { type: 'string', default: randomBytes(32).toString('hex') },
    listen: { type: 'string', default: '127.0.0.1:0' },
    bootnode: { type: 'string', multiple: true, default: [] },
    'session-timeout': { type: 'string', default: '86400000' },
  },
})

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const unhex = (text) => Uint8Array.from(Buffer.from(text, 'hex'))
const text = (enr) => enr.encodeTxt()

function emit(event, fields = {}) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
}

const listen = new URL(`udp://${args.listen}`)
const host = listen.hostname.replace(/^\[|\]$/g, '')
const family = host.includes(':') ? 6 : 4
const [ip, udp, bind] = family === 4 ? ['ip', 'udp', 'ip4'] : ['ip6', 'udp6', 'ip6']

const enr = SignableENR.createV4(unhex(args.key))
enr[ip] = host
enr[udp] = Number(listen.port)

const discv5 = Discv5.create({
  enr,
  privateKey: { type: 'secp256k1', raw: unhex(args.key) },
  bindAddrs: { [bind]: enr.getLocationMultiaddr(`udp${family}`) },
  config: { sessionTimeout: Number(args['session-timeout']) },
})
discv5.on('talkReqReceived', (from, _enr, { id, protocol, request }) => {
  const isEcho = Buffer.from(protocol).toString() === ECHO
  discv5.sendTalkResp(from, id, isEcho ? request : new Uint8Array())
})
discv5.on('enrAdded', (added) => emit('node_added', { id: added.nodeId }))

await discv5.start()
// The library keeps to itself which port it was given.
enr[udp] = discv5.sessionService.transport[bind].socket.address().port
emit('ready', { enr: text(enr), port: enr[udp] })
for (const node of args.bootnode) discv5.addEnr(node)

/** Commands, all of which ask for an answer. */
const QUESTIONS = {
  self: () => text(enr),
  /** Sets an entry of the own record to a string of bytes. */
  set({ key, hex }) {
    enr.set(key, unhex(hex))
    return text(enr)
  },
  async ping({ enr }) {
    const start = performance.now()
    const { enrSeq, addr } = await discv5.sendPing(ENR.decodeTxt(enr))
    const micros = Math.round((performance.now() - start) * 1000)
    return { micros, enr_seq: Number(enrSeq), ip: address(addr.ip), port: addr.port }
  },
  async findnode({ enr, distances }) {
    return (await discv5.sendFindNode(ENR.decodeTxt(enr), distances)).map(text)
  },
  async talk({ enr, protocol, hex: request }) {
    return hex(await discv5.sendTalkReq(ENR.decodeTxt(enr), unhex(request), Buffer.from(protocol)))
  },
  lookup: async ({ id }) => (await discv5.findNode(id)).map(text),
  addnode: ({ enr }) => discv5.addEnr(enr),
  table: () =>
    discv5.kbuckets
      .rawValues()
      .map(({ value, status }) => ({ enr: text(value), live: status === EntryStatus.Connected })),
}

function address({ type, octets }) {
  if (type === 4) return octets.join('.')
  const words = Array.from({ length: 8 }, (_, at) => (octets[2 * at] << 8) | octets[2 * at + 1])
  return words.map((word) => word.toString(16)).join(':')
}

const lines = createInterface({ input: process.stdin })
lines.on('line', async (line) => {
  const command = JSON.parse(line)
  const { cmd, call } = command
  if (cmd === 'stop') {
    await discv5.stop()
    emit('stopped')
    process.exit(0)
  }
  try {
    emit('answer', { call, result: (await QUESTIONS[cmd](command)) ?? null })
  } catch (error) {
    emit('answer', { call, error: String(error) })
  }
})
lines.on('close', () => process.exit(0))
