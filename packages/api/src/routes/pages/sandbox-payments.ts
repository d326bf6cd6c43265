import fastifyFormbody from '@fastify/formbody'
import { SANDBOX_ACTS, type SandboxAct, type SandboxProvider } from '@blitzbuy/core/order/sandbox-provider'
import { repeat, type Repeating } from '@blitzbuy/core/repeat'
import type { Logger } from '@blitzbuy/core/log'
import type { FastifyPluginAsync } from 'fastify'

import { refuse } from '../../refusals.ts'
import { readField } from './form-fields.ts'

interface SandboxRoute {
  Params: { ref: string }
}

const SEND_EVERY_MS = 500
const CALLBACK_URL = '/api/v1/payment-callbacks/sandbox'

/**
 * The payment provider of tests and demonstrations: its page, and the callbacks that it sends to the shop.
 *
 * It plays another company: no session of the shop, nothing but the reference in the address, which cannot be guessed.
 */
const sandboxPages: FastifyPluginAsync<{ sandbox: SandboxProvider }> = async (app, { sandbox }) => {
  await app.register(fastifyFormbody)
  const { clock } = app.core
  const sendDue = () =>
    sandbox.sendDue(
      async (headers, body) => {
        const answer = await app.inject({
          method: 'POST',
          url: CALLBACK_URL,
          headers: { ...headers, 'content-type': 'application/json' },
          payload: body,
        })
        return answer.statusCode
      },
      () => clock.nowMs(),
    )

  let sending: Repeating | undefined
  app.addHook('onListen', async () => {
    sending = repeat('send sandbox callbacks', SEND_EVERY_MS, sendDue, app.log as Logger)
  })
  app.addHook('preClose', async () => sending?.close())

  app.get<SandboxRoute>('/sandbox-payments/:ref', async (request, reply) => {
    const payment = await sandbox.find(request.params.ref)
    if (!payment) return refuse(reply, { code: 'not-found' })
    return reply.page('sandbox-payment', {
      title: request.language.text('sandbox.title'),
      ref: payment.ref,
      acts: SANDBOX_ACTS,
      amount: request.language.money(payment.amountCents, payment.currency),
      returnUrl: payment.returnUrl,
    })
  })

  app.post<SandboxRoute>('/sandbox-payments/:ref', async (request, reply) => {
    const payment = await sandbox.find(request.params.ref)
    if (!payment) return refuse(reply, { code: 'not-found' })
    const act = readField(request.body, 'act')
    if (!isAct(act)) return refuse(reply, { code: 'request-invalid' })
    await sandbox.act(payment, act)
    // At once, so that the buyer's next page knows; what fails now is sent again.
    await sendDue().catch((error: unknown) => request.log.warn({ err: error }, 'callback not sent yet'))
    return reply.redirect(payment.returnUrl, 303)
  })
}

export default sandboxPages

function isAct(text: string): text is SandboxAct {
  return (SANDBOX_ACTS as readonly string[]).includes(text)
}
