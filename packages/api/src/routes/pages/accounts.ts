import { REGIONS, type Region } from '@blitzbuy/core/user/phone'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'

import type { TextKey } from '../../messages/language.ts'
import { challengeLogin, logIn, needsCheck } from '../../logins.ts'
import { beginSession, endSession } from '../../plugins/session.ts'
import {
  REFUSALS,
  RETRY_SOON_MS,
  answerWithProblem,
  refuse,
  refusalOf,
  type Refusal,
  type RefusalCode,
} from '../../refusals.ts'
import { readCheck, readField } from './form-fields.ts'
import { nextPath } from './require-login.ts'

type FormName = 'log-in' | 'register'

interface FormProblem {
  field: 'phone' | 'password' | 'nickname' | 'answer'
  text: TextKey
}

interface NextQuery {
  Querystring: { next?: string | string[] }
}

const NICKNAME_LENGTH_MAX = 40
const INCOMPLETE = 422

/** Logging in, registering, logging out. */
const accountPages: FastifyPluginAsync = async (app) => {
  const { accounts } = app.core

  app.get<NextQuery>('/login', (request, reply) => showEmpty(request, reply, 'log-in'))
  app.get<NextQuery>('/register', (request, reply) => showEmpty(request, reply, 'register'))

  const guarded = {
    onRequest: app.limits.auth,
    preHandler: app.admitPhone,
    config: { hashesPassword: true },
  }
  app.post('/login', { ...guarded, errorHandler: showStaleForm('log-in') }, async (request, reply) => {
    const form = readForm(request)
    const missing = missingFields(form)
    if (missing.length > 0) return showProblems(reply, 'log-in', form, INCOMPLETE, missing)

    const answer = await logIn(request, { ...form, check: readCheck(request.body) })
    if (answer.kind === 'refused') return refuseLogin(request, reply, form, answer.refusal)
    return reply.redirect(form.next, 303)
  })

  app.post('/register', { ...guarded, errorHandler: showStaleForm('register') }, async (request, reply) => {
    const form = readForm(request)
    const problems = missingFields(form)
    if (form.nickname.length > NICKNAME_LENGTH_MAX)
      problems.push({ field: 'nickname', text: 'form.nickname-long' })
    if (problems.length > 0) return showProblems(reply, 'register', form, INCOMPLETE, problems)

    const outcome = await accounts.register(form)
    switch (outcome.kind) {
      case 'phone_taken':
        return refuseForm(reply, 'register', form, 'phone', 'phone-taken')
      case 'phone_invalid':
        return refuseForm(reply, 'register', form, 'phone', 'phone-invalid')
      case 'password_weak':
        return refuseForm(reply, 'register', form, 'password', 'password-weak')
      case 'overloaded':
        return showBusy(reply, 'register', form, outcome.retryAfterMs)
      case 'registered':
        await beginSession(request, outcome.account)
        return reply.redirect(form.next, 303)
    }
  })

  app.post('/logout', { config: { needsLogin: true, isOpenToBlocked: true } }, async (request, reply) => {
    await endSession(request, reply)
    return reply.redirect('/', 303)
  })
}

export default accountPages

interface AccountForm {
  phone: string
  region: Region
  nickname: string
  password: string
  next: string
}

function readForm(request: FastifyRequest): AccountForm {
  const { body } = request
  const region = readField(body, 'region')
  return {
    phone: readField(body, 'phone'),
    region: REGIONS.find((known) => known === region) ?? likelyRegion(request),
    nickname: readField(body, 'nickname').trim(),
    password: readField(body, 'password'),
    next: nextPath(readField(body, 'next')),
  }
}

/** Only which entry is chosen at first: the shopper decides. */
function likelyRegion(request: FastifyRequest): Region {
  return request.language.tag === 'zh-CN' ? 'CN' : 'US'
}

function missingFields(form: AccountForm): FormProblem[] {
  const problems: FormProblem[] = []
  if (form.phone.trim() === '') problems.push({ field: 'phone', text: 'form.phone-missing' })
  if (form.password === '') problems.push({ field: 'password', text: 'form.password-missing' })
  return problems
}

async function refuseLogin(
  request: FastifyRequest,
  reply: FastifyReply,
  form: AccountForm,
  refusal: Refusal,
) {
  const { code, retryAfterMs } = refusal
  if (code === 'overloaded') return showBusy(reply, 'log-in', form, retryAfterMs ?? 0)
  if (code === 'blocked') return refuse(reply, refusal)
  if (!needsCheck(refusal)) return refuseForm(reply, 'log-in', form, 'phone', code)
  const check = await challengeLogin(request, 'image')
  if (check.kind !== 'image') return showBusy(reply, 'log-in', form, RETRY_SOON_MS)
  const { status } = REFUSALS[code]
  return showProblems(reply, 'log-in', form, status, [{ field: 'answer', text: `refusal.${code}` }], {
    check,
    hasClientTexts: true,
  })
}

async function showEmpty(request: FastifyRequest<NextQuery>, reply: FastifyReply, name: FormName) {
  const next = nextPath(request.query.next)
  if (request.session.account) return reply.redirect(next, 303)
  return reply.page('account', {
    title: request.language.text(`account.${name}.title`),
    name,
    values: { phone: '', region: likelyRegion(request), nickname: '', next },
    problems: [],
  })
}

function refuseForm(
  reply: FastifyReply,
  name: FormName,
  form: AccountForm,
  field: FormProblem['field'],
  code: RefusalCode,
) {
  return showProblems(reply, name, form, REFUSALS[code].status, [{ field, text: `refusal.${code}` }])
}

/** A form whose token is of no use, because it waited for long or was made elsewhere, is shown again with a new one. */
function showStaleForm(name: FormName) {
  return (error: Error, request: FastifyRequest, reply: FastifyReply): void => {
    if (refusalOf(error).code !== 'csrf-invalid') return answerWithProblem(error, request, reply)
    refuseForm(reply, name, readForm(request), 'password', 'csrf-invalid').then(undefined, (fault: Error) =>
      answerWithProblem(fault, request, reply),
    )
  }
}

/** The same form with what was entered. Never the password: a page may be kept, printed or looked at. */
function showProblems(
  reply: FastifyReply,
  name: FormName,
  { password: _password, ...values }: AccountForm,
  status: number,
  problems: FormProblem[],
  more: object = {},
) {
  const { text: t } = reply.request.language
  const title = t(`account.${name}.title`)
  return reply.code(status).page('account', {
    title: t('form.error-prefix', { title }),
    name,
    values,
    problems: problems.map(({ field, text }) => ({ field, text: t(text) })),
    ...more,
  })
}

function showBusy(reply: FastifyReply, name: FormName, form: AccountForm, retryAfterMs: number) {
  reply.header('retry-after', Math.max(1, Math.ceil(retryAfterMs / 1000)))
  const { status } = REFUSALS.overloaded
  return showProblems(reply, name, form, status, [{ field: 'phone', text: 'account.busy' }])
}
