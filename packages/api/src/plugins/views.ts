import { fileURLToPath } from 'node:url'

import fastifyView from '@fastify/view'
import { Eta } from 'eta'
import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { LRUCache } from 'lru-cache'

import type { Language } from '../messages/language.ts'
import { LANGUAGES } from '../messages/languages.ts'

/** What a page brings besides what every page has. */
export interface PageContent {
  /** Without the site's name. */
  title: string
  /** Seconds after which a browser without our script loads the page again. */
  refreshSeconds?: number
  /** Whether the script needs its texts here. */
  hasClientTexts?: boolean
  [name: string]: unknown
}

declare module 'fastify' {
  interface FastifyInstance {
    renderPage(reply: FastifyReply, view: string, content: PageContent): Promise<string>
    /** A page without a form, as somebody sees it who is not logged in. */
    renderForAnybody(language: Language, view: string, content: PageContent): Promise<string>
  }
  interface FastifyReply {
    /** Answers with a page of views/, for this shopper's eyes only. */
    page(view: string, content: PageContent): Promise<FastifyReply>
    /** The same with a page that nobody's name is on: made once a second for everybody who reads this language. */
    sharedPage(view: string, make: () => Promise<PageContent>): Promise<FastifyReply>
  }
}

// views/ sits beside both src/ and dist/, so one relative path serves source and build.
const VIEWS_FOLDER = fileURLToPath(new URL('../../views', import.meta.url))

const HTML = 'text/html; charset=utf-8'
/** What decides whose page it is, and in which language. */
const VARY = 'accept-language, cookie'
const SHARED_FOR_MS = 1_000
const SHARED_MAX = 1_000

/** Pages made on the server: every value is escaped unless a template says otherwise. */
export default fp<{ keepTemplates: boolean }>(
  async (app, { keepTemplates }) => {
    await app.register(fastifyView, {
      engine: { eta: new Eta({ autoEscape: true }) },
      root: VIEWS_FOLDER,
      viewExt: 'eta',
      production: keepTemplates,
    })

    const shared = new LRUCache<string, Promise<string>>({ max: SHARED_MAX, ttl: SHARED_FOR_MS })

    const inLanguage = (language: Language) => ({
      lang: language.tag,
      languages: LANGUAGES,
      t: language.text,
      clientTexts: language.clientTexts,
      money: language.money,
      count: language.count,
      moment: language.moment,
      time: language.time,
      asset: app.assetUrl,
    })

    app.decorate('renderForAnybody', (language, view, content) =>
      app.view(view, { ...content, ...inLanguage(language) }),
    )
    app.decorate('renderPage', (reply, view, content) => {
      const { request } = reply
      const { language } = request
      const path = request.url.split('?', 1)[0]
      let formToken: string | undefined
      return app.view(view, {
        switchPath: path,
        ...content,
        ...inLanguage(language),
        // A request that was refused before its session was read has none.
        account: (request.session as typeof request.session | undefined)?.account,
        isAccountUnknown: (request.session as typeof request.session | undefined)?.away !== undefined,
        path,
        // Made once a page, and only for a page that has a form: whoever sees none gets no cookie.
        formToken: () => (formToken ??= reply.formToken()),
      })
    })

    app.decorateReply('page', async function page(this: FastifyReply, view: string, content: PageContent) {
      const html = await app.renderPage(this, view, content)
      if (content.refreshSeconds !== undefined) this.header('refresh', content.refreshSeconds)
      return this.type(HTML).header('vary', VARY).header('cache-control', 'no-store').send(html)
    })

    app.decorateReply('sharedPage', async function sharedPage(this: FastifyReply, view, make) {
      const key = `${this.request.language.tag} ${this.request.url}`
      let html = shared.get(key)
      if (!html) {
        html = make().then((content) => app.renderPage(this, view, content))
        shared.set(key, html)
        html.catch(() => shared.delete(key))
      }
      return this.type(HTML)
        .header('vary', VARY)
        .header('cache-control', 'public, max-age=1')
        .send(await html)
    })
  },
  { name: 'views', dependencies: ['assets', 'language'] },
)
