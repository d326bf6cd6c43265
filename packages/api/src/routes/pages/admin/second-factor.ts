import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { toString as drawQrCode } from 'qrcode'

import { operatorOf } from '../../../plugins/operators.ts'
import { REFUSALS, refuse } from '../../../refusals.ts'
import { readField } from '../form-fields.ts'
import { nextPath } from '../require-login.ts'
import { showPage, type FormProblem } from './show-page.ts'

interface NextQuery {
  Querystring: { next?: unknown }
}

const BEFORE = { config: { isBeforeSecondFactor: true } }
const HERE = '/second-factor'
const INCOMPLETE = 422

/** Setting up the second factor at the first login, showing it at every other one, and leaving. */
const secondFactorPages: FastifyPluginAsync = async (app) => {
  const { secondFactors, marks } = app.core.operators

  app.get<NextQuery>(HERE, BEFORE, async (request, reply) => {
    const operator = operatorOf(request)
    const next = nextOf(request.query.next)
    const since = await marks.use(request.session.sessionId, operator.userId)
    if (since !== undefined) return reply.redirect(next, 303)
    return show(request, reply, next)
  })

  app.post(HERE, { ...BEFORE, onRequest: app.limits.auth }, async (request, reply) => {
    const operator = operatorOf(request)
    const next = nextOf(readField(request.body, 'next'))
    const code = readField(request.body, 'code').trim()
    if (code === '') return refuseCode(request, reply, next, INCOMPLETE, 'Enter the code.')

    const outcome = operator.hasSecondFactor
      ? await secondFactors.verify(operator.userId, code)
      : await secondFactors.confirm(operator.userId, code)
    switch (outcome.kind) {
      case 'not_begun':
        return reply.redirect(`/admin${HERE}`, 303)
      case 'incorrect': {
        const left = `${outcome.triesLeft} ${outcome.triesLeft === 1 ? 'try is' : 'tries are'} left.`
        const { status } = REFUSALS['second-factor-incorrect']
        return refuseCode(request, reply, next, status, `This code is wrong, used or too old. ${left}`)
      }
      case 'locked': {
        const seconds = Math.ceil(outcome.retryAfterMs / 1000)
        const { status } = REFUSALS['second-factor-locked']
        const wait = `Too many wrong codes. Try again in ${Math.ceil(seconds / 60)} min.`
        return refuseCode(request, reply.header('retry-after', seconds), next, status, wait)
      }
      case 'verified':
        await app.beginOperatorSession(request)
        return reply.redirect(next, 303)
      case 'confirmed':
        await app.beginOperatorSession(request)
        // They are kept nowhere in clear: shown here, or never.
        return showPage(reply, 'recovery-codes', {
          title: 'Recovery codes',
          recoveryCodes: outcome.recoveryCodes,
          next,
        })
    }
  })

  /** The shop's session goes on; whoever comes next at this desk needs a code. */
  app.post('/leave', BEFORE, async (request, reply) => {
    await marks.remove(request.session.sessionId)
    return reply.redirect('/', 303)
  })

  function refuseCode(
    request: FastifyRequest,
    reply: FastifyReply,
    next: string,
    status: number,
    message: string,
  ) {
    return show(request, reply.code(status), next, [{ field: 'code', message }])
  }

  async function show(
    request: FastifyRequest,
    reply: FastifyReply,
    next: string,
    problems: FormProblem[] = [],
  ) {
    const operator = operatorOf(request)
    if (operator.hasSecondFactor)
      return showPage(reply, 'second-factor', { title: 'Enter your code', next, problems })
    const enrolment = await secondFactors.begin(operator.userId, operator.phoneMasked)
    // Confirmed in another tab a moment ago.
    if (!enrolment) return refuse(reply, { code: 'csrf-invalid' })
    const picture = await drawQrCode(enrolment.uri, { type: 'svg', margin: 1 })
    return showPage(reply, 'set-up-second-factor', {
      title: 'Set up your second factor',
      next,
      problems,
      secret: enrolment.secret.replaceAll(/.{4}(?=.)/g, '$& '),
      uri: enrolment.uri,
      picture: `data:image/svg+xml;base64,${Buffer.from(picture).toString('base64')}`,
    })
  }
}

export default secondFactorPages

function nextOf(asked: unknown): string {
  const path = nextPath(asked)
  return path.startsWith('/admin') && path !== `/admin${HERE}` ? path : '/admin'
}
