import { describe, expect, it } from 'vitest'

import { createLog } from './log.ts'

const CANARY = 'canary-7d1f'
const HOSTILE = `x\r\n{"level":60,"msg":"forged"}\n\u001B[31mred\u0000","level":60,"a":"\u2028`

function logged(write: (log: ReturnType<typeof createLog>) => void): string {
  let text = ''
  write(createLog({ name: 'api', level: 'trace' }, { write: (line) => void (text += line) }))
  return text
}

describe('a log line', () => {
  it('never shows a secret that was handed to it by mistake', () => {
    const secrets = {
      password: CANARY,
      passwordHash: CANARY,
      phone: CANARY,
      cookie: CANARY,
      authorization: CANARY,
      purchaseToken: CANARY,
      formToken: CANARY,
    }
    const headers = { cookie: CANARY, authorization: CANARY, 'x-purchase-token': CANARY }
    const text = logged((log) => {
      log.info(secrets, 'at the top')
      log.info({ body: secrets }, 'one level down')
      log.info({ req: { headers } }, 'a request')
    })
    expect(text).not.toContain(CANARY)
    expect(text.trim().split('\n')).toHaveLength(3)
  })

  it('never shows a statement, its parameters or what a driver adds to an error', () => {
    const driver = Object.assign(new Error(`Duplicate entry '${CANARY}'`), {
      code: 'ER_DUP_ENTRY',
      sql: CANARY,
    })
    const orm = Object.assign(new Error(`Failed query: ${CANARY}`, { cause: driver }), {
      query: CANARY,
      params: [CANARY],
    })
    const redis = Object.assign(new Error('WRONGTYPE'), { command: { name: 'set', args: [CANARY] } })
    const text = logged((log) => {
      log.error({ err: orm }, 'failed')
      log.error({ err: redis }, 'failed')
      log.error({ err: { message: CANARY } }, 'not even an error')
    })
    expect(text).not.toContain(CANARY)
    expect(text).toContain('ER_DUP_ENTRY')
  })

  it('stays one line with its own level, whatever a client put into it', () => {
    const text = logged((log) => log.warn({ err: new Error(HOSTILE), [HOSTILE]: HOSTILE }, HOSTILE))
    const lines = text.split('\n').filter(Boolean)
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 40, msg: HOSTILE })
    // oxlint-disable-next-line no-control-regex -- what must not be there is the point
    expect(lines[0]).not.toMatch(/[\u0000-\u001F]/)
  })
})
