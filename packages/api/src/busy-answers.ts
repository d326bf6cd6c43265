import type { Language } from './messages/language.ts'
import type { SecurityHeaders } from './plugins/security-headers.ts'
import type { RawAnswer } from './raw-answer.ts'
import { problemOf, REFUSALS } from './refusals.ts'

/** A page that was made before anybody asked for it, in front of the request's id and behind it. */
export type BusyPage = [before: string, behind: string]

export interface BusyAsk {
  language: Language
  isForPage: boolean
  requestId: string
  retryAfterMs: number
}

/**
 * What they hear for whom nothing was done, because too many are before them: as every other refusal of ours, but put
 * together from what is there, because thousands hear it in one moment.
 */
export function createBusyAnswers(headers: SecurityHeaders, pages: ReadonlyMap<Language, BusyPage>) {
  return ({ language, isForPage, requestId, retryAfterMs }: BusyAsk): RawAnswer => {
    const page = isForPage ? pages.get(language) : undefined
    const { status, body } = page
      ? { status: REFUSALS.overloaded.status, body: page.join(requestId) }
      : problemOf({ code: 'overloaded', retryAfterMs }, requestId, language.problems.overloaded)
    return {
      status,
      headers: {
        ...headers,
        'x-request-id': requestId,
        'cache-control': 'no-store',
        'content-type': page ? 'text/html; charset=utf-8' : 'application/problem+json',
        'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))),
      },
      body,
    }
  }
}
