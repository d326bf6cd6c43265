import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { parsePhone } from '@blitzbuy/core/user/phone'
import { createOrderIds } from '@blitzbuy/core/reservation/order-id'
import { describe, expect, it } from 'vitest'

import { english } from './messages/languages.ts'
import { noticeText } from './routes/pages/notices.ts'
import { nextPath } from './routes/pages/require-login.ts'
import type { SaleView } from './sale-views.ts'
import { readSaleId } from './schemas/identifiers.ts'

const LONG = 100_000
const BUDGET_MS = 10
/** The least of a few runs: what the machine does besides is no property of the expression. */
const RUNS = 5

/** What makes an expression go back and forth: long runs of what it repeats, and an end that does not fit. */
const HOSTILE = [
  '0',
  '1',
  'a',
  'A',
  ' ',
  '/',
  '\t',
  '-',
  '{',
  '+',
  ',',
  '/sales/1',
  '{a',
  '00',
  's,',
  '1 ',
  '<%',
]
  .map((part) => part.repeat(Math.ceil(LONG / part.length)))
  .flatMap((text) => [text, `${text}!`, `/${text}\n`, `+${text}\u0000`])

const LITERAL =
  /(?<=[=(,:?!&|[]\s*|return )\/(?![/*])((?:\\.|\[(?:\\.|[^\]\n])*\]|[^/\n\\[])+)\/([dgimsuvy]*)(?=[\s.,;)\]])/g
const PATTERN = /\bpattern: '((?:\\.|[^'\\])+)'/g

function expressionsIn(folder: string): [string, RegExp][] {
  const path = fileURLToPath(new URL(folder, import.meta.url))
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.[jt]s$/.test(name) && !name.endsWith('.test.ts'))
    .flatMap((name) => {
      // A slash in a comment begins no expression.
      const source = readFileSync(`${path}/${name}`, 'utf8').replaceAll(/^\s*(?:\/?\*|\/\/).*$/gm, '')
      const literals = [...source.matchAll(LITERAL)].map(([, body = '', flags]) => new RegExp(body, flags))
      const patterns = [...source.matchAll(PATTERN)].map(
        ([, body = '']) => new RegExp(body.replaceAll('\\\\', '\\'), 'u'),
      )
      return [...literals, ...patterns].map((one): [string, RegExp] => [`${name} ${String(one)}`, one])
    })
}

function leastMs(work: () => unknown): number {
  let least = Number.POSITIVE_INFINITY
  for (let run = 0; run < RUNS && (run === 0 || least > BUDGET_MS / 2); run += 1) {
    const beganMs = performance.now()
    work()
    least = Math.min(least, performance.now() - beganMs)
  }
  return least
}

const expressions = ['.', '../client', '../../core/src'].flatMap(expressionsIn)

describe('a regular expression', () => {
  it('is found wherever there is one', () => {
    expect(expressions.length).toBeGreaterThan(20)
    for (const known of [
      'require-login.ts',
      'identifiers.ts',
      'phone.ts',
      'notices.ts',
      'config.ts',
      'texts.ts',
    ]) {
      expect(expressions.some(([name]) => name.includes(known))).toBe(true)
    }
    // The measure sees what it looks for.
    expect(leastMs(() => /^(?:a|a)+$/.test(`${'a'.repeat(22)}!`))).toBeGreaterThan(BUDGET_MS)
  })

  it.each(expressions)('says no within 10 ms to 100 KB of anything: %s', (_name, expression) => {
    for (const text of HOSTILE) {
      const tookMs = leastMs(() => {
        expression.lastIndex = 0
        return expression.test(text)
      })
      expect([text.slice(0, 8), tookMs < BUDGET_MS ? 'in time' : tookMs]).toEqual([
        text.slice(0, 8),
        'in time',
      ])
    }
  })
})

describe('whatever reads what a client sent', () => {
  const orderIds = createOrderIds(['o'.repeat(32)])
  it.each<[string, (text: string) => unknown, unknown]>([
    ['the address after a login', nextPath, '/'],
    ['a sale id', readSaleId, undefined],
    ['an order id', (text) => orderIds.read(text, 1), undefined],
    [
      'a notice',
      (text) => noticeText({ notice: text, units: text }, {} as SaleView, english.text),
      undefined,
    ],
    ['a phone number', (text) => parsePhone(text), undefined],
  ])('says no within 10 ms to 100 KB of anything: %s', (_what, read, nothing) => {
    for (const text of HOSTILE) {
      expect(read(text)).toBe(nothing)
      expect(leastMs(() => read(text))).toBeLessThan(BUDGET_MS)
    }
  })
})
