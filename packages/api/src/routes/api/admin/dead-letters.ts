import { DeadLettersInHand } from '@blitzbuy/core/rabbitmq/dead-letters'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'

import { auditDeadLetter } from '../../../dead-letter-acts.ts'
import { actorOf } from '../../../plugins/operators.ts'
import { answerWithProblem, refuse } from '../../../refusals.ts'
import { toDeadLetterAnswer } from '../../../schemas/operators.ts'

const LISTED_MAX = 1_000
const LetterParams = Type.Object({ letterId: Type.String({ maxLength: 64 }) })

const deadLetterRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { deadLetters, mysql } = app.core.operators
  const errorHandler = (error: Error, request: FastifyRequest, reply: FastifyReply): void => {
    if (error instanceof DeadLettersInHand) refuse(reply, { code: 'dead-letters-in-hand' })
    else answerWithProblem(error, request, reply)
  }

  app.get('/dead-letters', { errorHandler }, async () => ({
    deadLetters: (await deadLetters.list(LISTED_MAX)).map(toDeadLetterAnswer),
  }))

  app.post(
    '/dead-letters/:letterId/replay',
    { errorHandler, schema: { params: LetterParams } },
    async (request, reply) => {
      const only = new Set([request.params.letterId])
      const gone = await deadLetters.replay(
        only,
        auditDeadLetter(mysql, 'dead-letter.replay', actorOf(request)),
      )
      return gone.length === 0 ? refuse(reply, { code: 'not-found' }) : reply.code(204).send()
    },
  )

  app.delete(
    '/dead-letters/:letterId',
    { errorHandler, schema: { params: LetterParams } },
    async (request, reply) => {
      const only = new Set([request.params.letterId])
      const gone = await deadLetters.drop(only, auditDeadLetter(mysql, 'dead-letter.drop', actorOf(request)))
      return gone.length === 0 ? refuse(reply, { code: 'not-found' }) : reply.code(204).send()
    },
  )
}

export default deadLetterRoutes
