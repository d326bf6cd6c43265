import type { AuditRecord } from '@blitzbuy/core/mysql/read-audit-log'
import type { FastifyReply } from 'fastify'

/** What is wrong with what was entered; `field` is the id of its input. */
export interface FormProblem {
  field: string
  message: string
}

export interface OperatorPage {
  title: string
  /** The entry of the navigation that is lit. */
  area?: 'dashboard' | 'sales' | 'products' | 'orders' | 'blacklist' | 'dead-letters' | 'audit-log'
  problems?: FormProblem[]
  [name: string]: unknown
}

/**
 * Answers with a page of views/admin.
 *
 * These pages are in English alone and say times in UTC: operators talk to each other about what they see.
 */
export function showPage(reply: FastifyReply, view: string, page: OperatorPage): Promise<FastifyReply> {
  const problems = page.problems ?? []
  return reply.page(`admin/${view}`, {
    ...page,
    title: problems.length > 0 ? `Error: ${page.title}` : page.title,
    problems,
    problemOf: (field: string) => problems.find((problem) => problem.field === field)?.message,
    operator: reply.request.operator,
    utc,
    num,
    cash,
    describeEntry,
  })
}

/** To the second, as it sorts: 2026-11-24 23:40:05. */
export function utc(epochMs: number): string {
  return new Date(epochMs).toISOString().slice(0, 19).replace('T', ' ')
}

const counts = new Intl.NumberFormat('en-US')

export function num(value: number): string {
  return counts.format(value)
}

/** How many digits of a currency's amounts are behind the point: 2 for USD, 0 for JPY. */
export function minorDigits(currency: string): number {
  try {
    const { maximumFractionDigits } = new Intl.NumberFormat('en-US', {
      style: 'currency',
      currency,
    }).resolvedOptions()
    return maximumFractionDigits ?? 2
  } catch {
    return 2
  }
}

/** An amount with the code of its currency: what is told apart by `$` alone is not told apart. */
export function cash(cents: number, currency: string): string {
  const digits = minorDigits(currency)
  return `${currency} ${(cents / 10 ** digits).toLocaleString('en-US', { minimumFractionDigits: digits })}`
}

/** What an act changed, one line a value. */
export function describeEntry({ details }: AuditRecord): string[] {
  const { before, after, ...rest } = details
  const lines: string[] = []
  if (isRecord(after)) {
    for (const [field, value] of Object.entries(after)) {
      const was = isRecord(before) && field in before ? `${inWords(field, before[field])} → ` : ''
      lines.push(`${field}: ${was}${inWords(field, value)}`)
    }
  }
  for (const [field, value] of Object.entries(rest)) lines.push(`${field}: ${inWords(field, value)}`)
  return lines
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function inWords(field: string, value: unknown): string {
  if (typeof value === 'number') return field.endsWith('AtMs') ? `${utc(value)} UTC` : String(value)
  return typeof value === 'string' ? value : JSON.stringify(value)
}
