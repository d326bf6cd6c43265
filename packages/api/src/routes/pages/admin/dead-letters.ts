import { StoreAway } from '@blitzbuy/core/errors'
import { DeadLettersInHand, type DeadLetter } from '@blitzbuy/core/rabbitmq/dead-letters'
import type { FastifyPluginAsync, FastifyReply } from 'fastify'

import { auditDeadLetter } from '../../../dead-letter-acts.ts'
import { actorOf } from '../../../plugins/operators.ts'
import { refuse } from '../../../refusals.ts'
import { readField } from '../form-fields.ts'
import { showPage, type FormProblem } from './show-page.ts'

interface LetterRoute {
  Params: { letterId: string }
}

const LISTED_MAX = 200
const LOOKED_AT_MAX = 10_000
const REFUSED = 422
const UNAVAILABLE = 503
const DROP = 'drop'

/** Messages that no worker could work off: looked at, published again, or forgotten. */
const deadLetterPages: FastifyPluginAsync = async (app) => {
  const { deadLetters, mysql } = app.core.operators

  app.get<{ Querystring: { done?: unknown } }>('/dead-letters', async (request, reply) => {
    const list = await read(() => deadLetters.list(LISTED_MAX))
    return showPage('trouble' in list ? reply.code(UNAVAILABLE) : reply, 'dead-letters', {
      title: 'Dead letters',
      area: 'dead-letters',
      letters: 'trouble' in list ? [] : list.result,
      trouble: 'trouble' in list ? list.trouble : undefined,
      listedMax: LISTED_MAX,
      notice: noticeOf(request.query.done),
    })
  })

  app.get<LetterRoute>('/dead-letters/:letterId', (request, reply) =>
    showLetter(reply, request.params.letterId),
  )

  app.post<LetterRoute>('/dead-letters/:letterId/replay', async (request, reply) => {
    const audit = auditDeadLetter(mysql, 'dead-letter.replay', actorOf(request))
    const gone = await read(() => deadLetters.replay(new Set([request.params.letterId]), audit))
    return answer(reply, gone, 'replayed')
  })

  app.post<LetterRoute>('/dead-letters/:letterId/drop', async (request, reply) => {
    if (readField(request.body, 'confirm').trim().toLowerCase() !== DROP) {
      return showLetter(reply.code(REFUSED), request.params.letterId, [
        { field: 'confirm', message: `type "${DROP}": what is dropped is gone for good` },
      ])
    }
    const audit = auditDeadLetter(mysql, 'dead-letter.drop', actorOf(request))
    const gone = await read(() => deadLetters.drop(new Set([request.params.letterId]), audit))
    return answer(reply, gone, 'dropped')
  })

  async function showLetter(reply: FastifyReply, letterId: string, problems: FormProblem[] = []) {
    const list = await read(() => deadLetters.list(LOOKED_AT_MAX))
    if ('trouble' in list) return refuse(reply, list.refusal)
    const letter = list.result.find((one) => one.letterId === letterId)
    if (!letter) return refuse(reply, { code: 'not-found' })
    return showPage(reply, 'dead-letter', {
      title: `Dead letter ${letter.letterId}`,
      area: 'dead-letters',
      letter,
      body: inWords(letter),
      problems,
    })
  }

  function answer(reply: FastifyReply, outcome: Outcome<DeadLetter[]>, done: string) {
    if ('trouble' in outcome) return refuse(reply, outcome.refusal)
    return reply.redirect(`/admin/dead-letters?done=${outcome.result.length > 0 ? done : 'gone'}`, 303)
  }
}

export default deadLetterPages

type Outcome<T> =
  | { result: T }
  | { trouble: string; refusal: { code: 'dead-letters-in-hand' | 'dependency-unavailable' } }

/** What the broker or a colleague stands in the way of is said, not thrown. */
async function read<T>(work: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { result: await work() }
  } catch (error) {
    if (error instanceof DeadLettersInHand)
      return {
        trouble: 'Another operator has them in hand. Try again in a moment.',
        refusal: { code: 'dead-letters-in-hand' },
      }
    if (error instanceof StoreAway)
      return {
        trouble: 'RabbitMQ does not answer, so nobody knows what lies there.',
        refusal: { code: 'dependency-unavailable' },
      }
    throw error
  }
}

/** Readable where it is JSON, and as it is where it is not. */
function inWords({ body }: DeadLetter): string {
  const text = body.toString('utf8')
  try {
    return JSON.stringify(JSON.parse(text), undefined, 2)
  } catch {
    return text
  }
}

function noticeOf(done: unknown): string | undefined {
  if (done === 'replayed') return 'The letter was published to the workers again.'
  if (done === 'dropped') return 'The letter is gone.'
  return done === 'gone' ? 'That letter was gone already.' : undefined
}
