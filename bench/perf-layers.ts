/*
 * Where the time of a process goes, layer by layer, with garbage collector and kernel: more than a CPU profile of V8
 * tells, which calls both "(program)". docs/speed.md says how it is used:
 *
 *   perf script -i perf.data -F tid,ip,sym,dso | node --import tsx bench/perf-layers.ts 69.8
 */
import { argv, stdin, stdout } from 'node:process'

interface Layer {
  name: string
  /** Any frame of the stack, its code's own file and symbol. */
  stack?: RegExp
  /** The innermost JavaScript frame that any layer knows. */
  frame?: RegExp
  /** The stack again, when no frame is known. */
  otherwise?: RegExp
}

/** The first one that fits. */
const LAYERS: readonly Layer[] = [
  {
    name: 'garbage collection',
    stack:
      /Scaveng|MarkCompact|Sweep|Marking|GlobalHandles|Evacuat|CollectGarbage|PretenuringHandler|Unmapper/,
  },
  {
    name: 'compiling',
    stack: /internal::compiler|OptimizedCompil|BytecodeGenerator|PreParser|Deoptim|Compiler::/,
  },
  { name: 'RabbitMQ: rascal, amqplib, socket', stack: /amqplib|rascal|generic-pool|\/async\/|lodash/ },
  { name: 'Redis: ioredis, socket', stack: /ioredis/ },
  { name: 'hand-off: the message as JSON', stack: /hand-off/ },
  { name: 'order id (HMAC)', frame: /order-id/ },
  { name: 'purchase token (HMAC)', frame: /purchase-tokens/ },
  { name: 'session: cookie, local copy', frame: /plugins\/session|user\/sessions/ },
  { name: 'client address', frame: /plugins\/client|ip-address/ },
  { name: 'limits', frame: /plugins\/limits|gate\/limits/ },
  { name: 'blacklist', frame: /blacklist/ },
  { name: 'hook: answer-within', frame: /answer-within/ },
  { name: 'hook: load shedding', frame: /load-shedding/ },
  { name: 'hook: metrics', frame: /plugins\/metrics|api-metrics|tally|buckets/ },
  { name: 'hook: security headers', frame: /security-headers/ },
  { name: 'hook: request id', frame: /request-id/ },
  { name: 'hook: cross-site', frame: /cross-site/ },
  { name: 'hook: drain', frame: /plugins\/drain/ },
  { name: 'request log', frame: /request-log/ },
  { name: 'refusal: its body', frame: /refusals/ },
  {
    name: 'batch: gather, decode, resolve',
    frame: /purchase-batches|order\/purchase|stock\/reserve|lua-script|redis-clock/,
  },
  { name: 'route handler and its promise', frame: /routes\/api\/purchases/ },
  { name: 'Fastify: router', frame: /find-my-way/ },
  { name: 'Fastify: validate, serialise', frame: /fast-json-stringify|ajv|validation\.js/ },
  { name: 'Fastify: body', frame: /content-type|secure-json/ },
  { name: 'Fastify: reply', frame: /fastify\/lib\/reply/ },
  { name: 'Fastify: rest', frame: /fastify|bare-route/ },
  {
    name: 'answer: header block',
    frame: /storeHeader|processHeader|writeHead|checkInvalidHeaderChar|checkIsHttpToken/i,
  },
  {
    name: 'answer: write to the socket',
    frame: /stream_base_commons|streams\/writable| node:net|_http_outgoing/,
    otherwise: /writev|sock_write|tcp_sendmsg/,
  },
  {
    name: 'Node: HTTP in, request and response objects',
    frame: /_http_incoming|_http_common|_http_server|readable/,
    otherwise: /llhttp|Parser|vfs_read|sock_read|tcp_recv|LibuvStreamWrap/,
  },
  { name: 'Node: timers', frame: /node:(?:internal\/)?timers/ },
  {
    name: 'Node: ticks and microtasks',
    frame: /task_queues|promises/,
    otherwise: /Microtask|Promise|AsyncFunction/,
  },
  { name: 'waiting for sockets (epoll)', otherwise: /epoll|ep_/ },
]
const OTHER = 'other'

const usPerRequest = Number(argv[2] ?? 100)
let text = ''
for await (const chunk of stdin.setEncoding('utf8')) text += String(chunk)

const samples = new Map<string, number>()
let count = 0
for (const block of text.split('\n\n')) {
  const frames = block
    .split('\n')
    .slice(1)
    .map((line) => line.trim().replace(/^[0-9a-f]+ /, ''))
  if (frames.length === 0) continue
  const name = layerOf(frames)
  samples.set(name, (samples.get(name) ?? 0) + 1)
  count += 1
}
for (const [name, found] of [...samples].toSorted((one, other) => other[1] - one[1])) {
  const share = found / count
  const us = (share * usPerRequest).toFixed(1).padStart(6)
  stdout.write(`${us} µs ${(share * 100).toFixed(1).padStart(5)} %  ${name}\n`)
}
stdout.write(`${count} samples\n`)

function layerOf(frames: readonly string[]): string {
  const stack = frames.join('\n')
  const byStack = LAYERS.find((layer) => layer.stack?.test(stack))
  if (byStack) return byStack.name
  for (const frame of frames) {
    const byFrame = frame.startsWith('JS:') ? LAYERS.find((layer) => layer.frame?.test(frame)) : undefined
    if (byFrame) return byFrame.name
  }
  return LAYERS.find((layer) => layer.otherwise?.test(stack))?.name ?? OTHER
}
