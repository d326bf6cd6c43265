import type { BlacklistEntry } from '@blitzbuy/core/gate/blacklist-entries'
import { isInForce } from '@blitzbuy/core/gate/blacklist-index'
import type { FastifyPluginAsync, FastifyReply } from 'fastify'

import { actorOf } from '../../../plugins/operators.ts'
import { readField } from '../form-fields.ts'
import { showPage, type FormProblem } from './show-page.ts'

const SHOWN_MAX = 500
const READ_MAX = 20_000
const REFUSED = 422
const REASON_LENGTH_MAX = 200
const DAY_SECONDS = 24 * 3600

/** How long, as an operator chooses it; the empty one lasts until it is removed. */
const DURATIONS = [
  { value: '900', text: '15 minutes' },
  { value: '3600', text: '1 hour' },
  { value: String(DAY_SECONDS), text: '1 day' },
  { value: String(7 * DAY_SECONDS), text: '7 days' },
  { value: String(30 * DAY_SECONDS), text: '30 days' },
  { value: '', text: 'until removed' },
]
const KINDS = [
  { value: 'phone', text: 'Phone number, and its account' },
  { value: 'user', text: 'Account, by its number' },
  { value: 'address', text: 'Address or range' },
] as const

interface Form {
  kind: (typeof KINDS)[number]['value']
  subject: string
  reason: string
  seconds: string
}

/** Who may not buy: listed, added with a reason and an end, removed. */
const blacklistPages: FastifyPluginAsync = async (app) => {
  const { operators, clock } = app.core
  const { blacklist, blacklistEntries } = operators

  app.get<{ Querystring: { done?: unknown; find?: unknown } }>('/blacklist', async (request, reply) => {
    const { done, find } = request.query
    return show(reply, { notice: noticeOf(done), find: typeof find === 'string' ? find.trim() : '' })
  })

  app.post('/blacklist', async (request, reply) => {
    const form = readForm(request.body)
    const problems: FormProblem[] = []
    if (form.reason === '') problems.push({ field: 'reason', message: 'is required' })
    const named = await blacklist.subjectsOf({ kind: form.kind, text: form.subject })
    if ('problem' in named) problems.push({ field: 'subject', message: named.problem })
    if ('problem' in named || problems.length > 0) return show(reply.code(REFUSED), { form, problems })

    const lastsMs = form.seconds === '' ? undefined : Number(form.seconds) * 1000
    const outcome = await blacklist.add(named.subjects, { reason: form.reason, lastsMs }, actorOf(request))
    if (outcome === 'full')
      return show(reply.code(REFUSED), {
        form,
        problems: [{ field: 'subject', message: 'the blacklist is full; remove somebody first' }],
      })
    return reply.redirect('/admin/blacklist?done=added', 303)
  })

  app.post('/blacklist/remove', async (request, reply) => {
    const subject = readField(request.body, 'subject')
    const reason = readField(request.body, 'reason').trim().slice(0, REASON_LENGTH_MAX)
    const [, kind, text] = /^(user|phone|network):(.+)$/.exec(subject) ?? []
    if (!kind || !text) return reply.redirect('/admin/blacklist', 303)
    // Each entry by itself: somebody may want to leave the number on the list and free the account.
    const removed = await blacklist.remove([subject as BlacklistEntry['subject']], reason, actorOf(request))
    return reply.redirect(`/admin/blacklist?done=${removed > 0 ? 'removed' : 'gone'}`, 303)
  })

  async function show(
    reply: FastifyReply,
    page: { form?: Form; problems?: FormProblem[]; notice?: string | undefined; find?: string },
  ) {
    const { find = '' } = page
    const entries: BlacklistEntry[] = []
    let readCount = 0
    for await (const some of blacklistEntries.pages()) {
      readCount += some.length
      const wanted = some.filter((entry) => isInForce(entry, clock.nowMs()) && entry.subject.includes(find))
      entries.push(...wanted)
      if (readCount >= READ_MAX) break
    }
    return showPage(reply, 'blacklist', {
      title: 'Blacklist',
      area: 'blacklist',
      ...page,
      form: page.form ?? { kind: 'phone', subject: '', reason: '', seconds: String(DAY_SECONDS) },
      find,
      entries: entries.toSorted((one, other) => other.addedAtMs - one.addedAtMs).slice(0, SHOWN_MAX),
      entryCount: entries.length,
      isCut: readCount >= READ_MAX || entries.length > SHOWN_MAX,
      durations: DURATIONS,
      kinds: KINDS,
    })
  }
}

export default blacklistPages

function readForm(body: unknown): Form {
  const seconds = readField(body, 'seconds')
  return {
    kind: KINDS.find(({ value }) => value === readField(body, 'kind'))?.value ?? 'phone',
    subject: readField(body, 'subject').trim(),
    reason: readField(body, 'reason').trim().slice(0, REASON_LENGTH_MAX),
    seconds: DURATIONS.some(({ value }) => value === seconds) ? seconds : String(DAY_SECONDS),
  }
}

function noticeOf(done: unknown): string | undefined {
  if (done === 'added') return 'On the blacklist, on every instance within two seconds.'
  if (done === 'removed') return 'Taken off the blacklist.'
  return done === 'gone' ? 'That entry was gone already.' : undefined
}
