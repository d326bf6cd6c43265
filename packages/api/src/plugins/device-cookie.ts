import { createHmac, randomBytes } from 'node:crypto'

import { Signer } from '@fastify/cookie'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

import type { SessionOptions } from './session.ts'

export interface KnownDevice {
  deviceId: string
  /** Of the accounts it has logged in to, the last one first. */
  accountKeys: string[]
}

declare module 'fastify' {
  interface FastifyInstance {
    readDevice(request: FastifyRequest): KnownDevice | undefined
    /** The browser has logged in to this account: from now on it has a bucket of its own there. */
    rememberDevice(request: FastifyRequest, accountKey: string): void
  }
  interface FastifyRequest {
    /** What the device cookie will hold after this request. */
    nextDevice: KnownDevice | null
  }
}

/** Browsers keep no cookie for longer than 400 days. */
const KEPT_SECONDS = 365 * 24 * 3600
/** A family's. More would make the cookie a list of other people's accounts. */
const ACCOUNTS_MAX = 5
const CONTENT = /^([\w-]{22}):([\w-]{22}(?:,[\w-]{22}){0,4})$/

export function deviceCookieName(publicOrigin: string): string {
  return publicOrigin.startsWith('https:') ? '__Host-blitz-device' : 'blitz-device'
}

/**
 * The cookie by which a browser that has logged in to an account before is known there.
 *
 * Signed by keys of its own, made from the session secrets: no session cookie is a device cookie, nor the other way
 * round. It opens nothing; who copies it gets a bucket of guesses, and the account's own one after that.
 */
export default fp<SessionOptions>(
  async (app, { secrets, publicOrigin }) => {
    const name = deviceCookieName(publicOrigin)
    const signer = new Signer(secrets.map(deviceKey))

    const readDevice = (request: FastifyRequest): KnownDevice | undefined => {
      const cookie = request.cookies[name]
      if (!cookie) return undefined
      const { valid, value } = signer.unsign(cookie)
      const [, deviceId, accountKeys] = (valid && value && CONTENT.exec(value)) || []
      return deviceId && accountKeys ? { deviceId, accountKeys: accountKeys.split(',') } : undefined
    }

    app.decorate('readDevice', readDevice)
    app.decorateRequest('nextDevice', null)
    app.decorate('rememberDevice', (request, accountKey) => {
      const known = readDevice(request)
      const deviceId = known?.deviceId ?? randomBytes(16).toString('base64url')
      const accountKeys = [...new Set([accountKey, ...(known?.accountKeys ?? [])])].slice(0, ACCOUNTS_MAX)
      request.nextDevice = { deviceId, accountKeys }
    })
    // On the way out, so that the session's cookie stays the first one of an answer.
    app.addHook('onSend', (request, reply, _payload, done) => {
      if (request.nextDevice) {
        const { deviceId, accountKeys } = request.nextDevice
        reply.setCookie(name, signer.sign(`${deviceId}:${accountKeys.join(',')}`), {
          path: '/',
          httpOnly: true,
          sameSite: 'lax',
          secure: publicOrigin.startsWith('https:'),
          maxAge: KEPT_SECONDS,
        })
      }
      done()
    })
  },
  { name: 'device-cookie', dependencies: ['session'] },
)

function deviceKey(secret: string): Buffer {
  return createHmac('sha256', secret).update('device-cookie').digest()
}
