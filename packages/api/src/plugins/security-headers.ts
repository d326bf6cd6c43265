import fp from 'fastify-plugin'
import helmet from 'helmet'

export type SecurityHeaders = Readonly<Record<string, string>>

const YEAR_SECONDS = 365 * 24 * 3600

/** What no page of ours uses, and no script that slipped in should get. */
const PERMISSIONS_POLICY = ['camera', 'display-capture', 'geolocation', 'microphone', 'payment', 'usb']
  .map((feature) => `${feature}=()`)
  .join(', ')

/**
 * What every answer tells a browser it must not do.
 *
 * They are the same for every answer of this process, so helmet is asked once, at the start: as a plugin it would
 * put them together again for every request, for more than a purchase's other hooks cost together.
 */
export function securityHeaders(publicOrigin: string): SecurityHeaders {
  const headers: Record<string, string> = { 'permissions-policy': PERMISSIONS_POLICY }
  const decide = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        // Pictures made on the spot: Bootstrap's icons and the captcha.
        imgSrc: ["'self'", 'data:'],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
      },
    },
    // Not no-referrer: a browser would then send our own forms with `Origin: null`, which is another site's.
    referrerPolicy: { policy: 'same-origin' },
    crossOriginOpenerPolicy: { policy: 'same-origin' },
    crossOriginResourcePolicy: { policy: 'same-origin' },
    // Over plain http it means nothing; a browser that learned it there would be locked out of a test machine.
    strictTransportSecurity: publicOrigin.startsWith('https:')
      ? { maxAge: YEAR_SECONDS, includeSubDomains: true }
      : false,
    // For browsers that know no frame-ancestors.
    xFrameOptions: { action: 'deny' },
    // They speak to plug-ins and browsers that are gone.
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
  })
  const response = {
    setHeader: (name: string, value: string) => void (headers[name.toLowerCase()] = value),
    removeHeader: () => undefined,
  }
  decide({} as never, response as never, (error) => {
    if (error) throw error
  })
  return Object.freeze(headers)
}

/** The first hook of all: whatever refuses a request later, its answer has them. */
export default fp<{ headers: SecurityHeaders }>(
  async (app, { headers }) => {
    app.addHook('onRequest', (_request, reply, done) => {
      reply.headers(headers)
      done()
    })
  },
  { name: 'security-headers' },
)
